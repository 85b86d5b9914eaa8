//! Thousands of hosts at one bucket after a regional outage, in simulated time.
//!
//! What decides is the uploader's own: its limits, its backoff, its breaker. The store is a number of requests
//! that it answers in a second; above that it says SlowDown, as during the outage it says nothing good at all.
//! S3 scales a prefix to 3,500 PUT and 5,500 GET requests a second at least, and up from there; hosts have
//! prefixes of their own, so a bucket that was idle begins with less than what it can grow to.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use host::config::UploaderSettings;
use serde_json::{Value, json};
use uploader::delivery::ErrorNote;
use uploader::policy::Policy;
use uploader::{Breaker, Trouble};

/// PUT and HEAD of the signature, then of the bundle.
const PARCEL_REQUESTS: u32 = 4;
/// A look at the bucket.
const LOOK_REQUESTS: u32 = 5;
/// An answer takes so long, a good one or a bad one.
const LATENCY: Duration = Duration::from_millis(40);

/// Whoever waits in step may do so for ever.
const GIVE_UP: Duration = Duration::from_hours(12);

#[derive(Args)]
pub(crate) struct Options {
    /// So many hosts.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    hosts: usize,
    /// So many bundles wait on each of them when the store comes back.
    #[arg(long, value_name = "N", default_value_t = 20)]
    backlog: usize,
    /// The outage takes so many minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 120)]
    outage_minutes: u64,
    /// The hosts were gone, too, and all start in the same moment: the power came back.
    #[arg(long)]
    power: bool,
    /// The store answers so many requests a second.
    #[arg(long, value_name = "N", default_value_t = 5500)]
    capacity: u32,
    /// The seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What of the policy is left out, to see what it is good for.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    has_jitter: bool,
    has_breaker: bool,
}

const VARIANTS: [Variant; 4] = [
    Variant {
        name: "as shipped",
        has_jitter: true,
        has_breaker: true,
    },
    Variant {
        name: "no jitter",
        has_jitter: false,
        has_breaker: true,
    },
    Variant {
        name: "no breaker",
        has_jitter: true,
        has_breaker: false,
    },
    Variant {
        name: "neither",
        has_jitter: false,
        has_breaker: false,
    },
];

pub(crate) fn run(options: &Options) {
    let outcomes: Vec<(Variant, Outcome)> = VARIANTS
        .into_iter()
        .map(|variant| (variant, Simulation::new(options, variant).run()))
        .collect();
    if options.json {
        let rows: Vec<Value> = outcomes
            .iter()
            .map(|(variant, outcome)| outcome.to_json(variant.name))
            .collect();
        println!("{:#}", Value::from(rows));
        return;
    }
    if options.power {
        println!("all hosts start in the same moment");
    }
    println!(
        "{} hosts with {} bundles each; the store is gone for {} min, then answers {} requests a second",
        options.hosts, options.backlog, options.outage_minutes, options.capacity
    );
    println!(
        "{:<12} {:>16} {:>14} {:>14} {:>14} {:>12} {:>12}",
        "",
        "during outage/s",
        "peak in it/s",
        "peak after/s",
        "refused after",
        "half, min",
        "drained, min"
    );
    for (variant, outcome) in &outcomes {
        println!(
            "{:<12} {:>16.1} {:>14} {:>14} {:>13.1}% {:>12.1} {:>12.1}",
            variant.name,
            outcome.during_per_sec,
            outcome.peak_during,
            outcome.peak_after,
            outcome.refused_after * 100.0,
            outcome.half.as_secs_f64() / 60.0,
            outcome.drained.as_secs_f64() / 60.0,
        );
        if outcome.left > 0 {
            println!("{:<12} {} bundles were left then", "", outcome.left);
        }
    }
    println!(
        "requests of every kind; times are counted from the end of the outage; seed {}",
        options.seed
    );
}

/// What came of it.
struct Outcome {
    /// Requests a second during the outage, on average over its second half.
    during_per_sec: f64,
    /// The most in one second.
    peak_during: u32,
    peak_after: u32,
    /// Of the requests after the outage, those that were too many.
    refused_after: f64,
    half: Duration,
    drained: Duration,
    /// Bundles that were not delivered after half a day.
    left: usize,
}

impl Outcome {
    fn to_json(&self, name: &str) -> Value {
        json!({
            "variant": name,
            "requests_per_sec_during": self.during_per_sec,
            "peak_per_sec_during": self.peak_during,
            "peak_per_sec_after": self.peak_after,
            "refused_after": self.refused_after,
            "half_drained_secs": self.half.as_secs_f64(),
            "drained_secs": self.drained.as_secs_f64(),
            "left": self.left,
        })
    }
}

/// A bundle and its signature on their way.
#[derive(Clone, Copy)]
struct Parcel {
    attempts: u32,
    requests_left: u32,
}

const SEALED: Parcel = Parcel {
    attempts: 0,
    requests_left: PARCEL_REQUESTS,
};

struct Host {
    breaker: Breaker,
    /// Due now.
    ready: VecDeque<Parcel>,
    in_flight: usize,
    /// Requests that are left of a look under way.
    looking: Option<u32>,
}

/// What happens next to a host.
enum Event {
    /// Time to look at the bucket.
    Probe,
    /// The answer to a request of a look.
    Looked,
    /// A parcel may be tried again.
    Due(Parcel),
    /// The answer to a request of a parcel.
    Answered(Parcel),
    /// A bundle is sealed.
    Sealed,
}

struct Simulation {
    policy: Policy,
    variant: Variant,
    rng: Rng,
    began: Instant,
    outage: Duration,
    capacity: u32,
    hosts: Vec<Host>,
    events: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    /// What each event in the heap is, by its number.
    what: std::collections::HashMap<u64, Event>,
    number: u64,
    /// Requests in each second.
    seconds: Vec<u32>,
    refused: u64,
    asked_after: u64,
    left: usize,
    all: usize,
    half: Option<Duration>,
}

impl Simulation {
    fn new(options: &Options, variant: Variant) -> Self {
        let settings = UploaderSettings {
            in_flight: 16,
            backoff_min_ms: 500,
            backoff_max_secs: 900,
            park_probe_secs: 180,
            preflight_secs: 86_400,
            rescan_secs: 30,
            request_timeout_secs: 60,
            content_md5: true,
        };
        let began = Instant::now();
        let mut simulation = Self {
            policy: Policy::from_settings(&settings),
            variant,
            rng: Rng::with_seed(options.seed),
            began,
            outage: Duration::from_secs(60 * options.outage_minutes),
            capacity: options.capacity,
            hosts: Vec::new(),
            events: BinaryHeap::new(),
            what: std::collections::HashMap::new(),
            number: 0,
            seconds: Vec::new(),
            refused: 0,
            asked_after: 0,
            left: options.hosts * options.backlog,
            all: options.hosts * options.backlog,
            half: None,
        };
        for host in 0..options.hosts {
            let mut breaker = Breaker::new(began + simulation.outage);
            let mut ready = VecDeque::new();
            if options.power {
                ready.resize(options.backlog, SEALED);
                simulation.at(simulation.outage, host, Event::Probe);
            } else {
                // The bucket was well before.
                breaker.probe_succeeded();
            }
            simulation.hosts.push(Host {
                breaker,
                ready,
                in_flight: 0,
                looking: None,
            });
            for _ in 0..if options.power { 0 } else { options.backlog } {
                let at = simulation.outage.mul_f64(simulation.rng.f64());
                simulation.at(at, host, Event::Sealed);
            }
        }
        simulation
    }

    fn at(&mut self, at: Duration, host: usize, event: Event) {
        self.number += 1;
        self.what.insert(self.number, event);
        self.events.push(Reverse((at, self.number, host)));
    }

    fn backoff(&mut self, attempt: u32) -> Duration {
        if self.variant.has_jitter {
            return self.policy.backoff(attempt, &mut self.rng);
        }
        // The ceiling itself: the most that a draw can be.
        let doubled = self.policy.backoff_min * 2_u32.saturating_pow(attempt.clamp(1, 20) - 1);
        doubled.min(self.policy.backoff_max)
    }

    /// Whether the store answers a request well that it gets now.
    fn ask(&mut self, now: Duration) -> bool {
        let second = usize::try_from(now.as_secs()).unwrap_or(usize::MAX);
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, 0);
        }
        self.seconds[second] += 1;
        if now < self.outage {
            return false;
        }
        self.asked_after += 1;
        let is_good = self.seconds[second] <= self.capacity;
        self.refused += u64::from(!is_good);
        is_good
    }

    fn run(mut self) -> Outcome {
        let mut drained = Duration::ZERO;
        while self.left > 0 {
            let Some(Reverse((now, number, host))) = self.events.pop() else {
                unreachable!("what is not delivered is due some time");
            };
            let Some(event) = self.what.remove(&number) else {
                unreachable!("each event is put in once");
            };
            if now > self.outage + GIVE_UP {
                break;
            }
            self.happens(now, host, event);
            self.fill(now, host);
            drained = now;
        }
        let outage_secs = usize::try_from(self.outage.as_secs()).unwrap_or(0);
        let (during, after) = self.seconds.split_at(outage_secs.min(self.seconds.len()));
        let second_half = &during[during.len() / 2..];
        let peak = |seconds: &[u32]| seconds.iter().copied().max().unwrap_or(0);
        Outcome {
            during_per_sec: second_half.iter().map(|n| f64::from(*n)).sum::<f64>()
                / second_half.len().max(1) as f64,
            peak_during: peak(during),
            peak_after: peak(after),
            refused_after: self.refused as f64 / self.asked_after.max(1) as f64,
            left: self.left,
            half: self.half.unwrap_or(drained).saturating_sub(self.outage),
            drained: drained.saturating_sub(self.outage),
        }
    }

    fn happens(&mut self, now: Duration, host: usize, event: Event) {
        match event {
            Event::Sealed => self.hosts[host].ready.push_back(SEALED),
            Event::Due(parcel) => self.hosts[host].ready.push_back(parcel),
            Event::Probe => {
                self.hosts[host].looking = Some(LOOK_REQUESTS);
                self.at(now + LATENCY, host, Event::Looked);
            }
            Event::Looked => self.looked(now, host),
            Event::Answered(parcel) => self.answered(now, host, parcel),
        }
    }

    fn looked(&mut self, now: Duration, host: usize) {
        let is_good = self.ask(now);
        let left = self.hosts[host].looking.unwrap_or(1) - 1;
        if is_good && left > 0 {
            self.hosts[host].looking = Some(left);
            self.at(now + LATENCY, host, Event::Looked);
            return;
        }
        self.hosts[host].looking = None;
        if is_good {
            self.hosts[host].breaker.probe_succeeded();
            return;
        }
        let delay = self.backoff(self.hosts[host].breaker.next_times());
        let instant = self.began + now;
        self.hosts[host]
            .breaker
            .probe_failed(Trouble::Outage(slow_down()), instant, delay);
        self.at(now + delay, host, Event::Probe);
    }

    fn answered(&mut self, now: Duration, host: usize, mut parcel: Parcel) {
        if self.ask(now) {
            parcel.requests_left -= 1;
            if parcel.requests_left > 0 {
                self.at(now + LATENCY, host, Event::Answered(parcel));
                return;
            }
            self.hosts[host].in_flight -= 1;
            self.hosts[host].breaker.parcel_succeeded();
            self.left -= 1;
            if self.left * 2 <= self.all && self.half.is_none() {
                self.half = Some(now);
            }
            return;
        }
        self.hosts[host].in_flight -= 1;
        parcel.attempts += 1;
        // What was stored is found again by a look at its key; it costs as much as to go on.
        let again = now + self.backoff(parcel.attempts);
        self.at(again, host, Event::Due(parcel));
        if !self.variant.has_breaker {
            return;
        }
        let was_shut = self.hosts[host].breaker.probe_at().is_some();
        let delay = self.backoff(self.hosts[host].breaker.next_times());
        let threshold = self.policy.breaker_threshold;
        let instant = self.began + now;
        let breaker = &mut self.hosts[host].breaker;
        breaker.parcel_failed(slow_down(), threshold, instant, delay);
        if !was_shut && breaker.probe_at().is_some() {
            self.at(now + delay, host, Event::Probe);
        }
    }

    /// Sends what may be sent.
    fn fill(&mut self, now: Duration, host: usize) {
        let in_flight = self.policy.in_flight;
        while self.hosts[host].in_flight < self.hosts[host].breaker.slots(in_flight) {
            let Some(parcel) = self.hosts[host].ready.pop_front() else {
                if self.hosts[host].in_flight == 0 {
                    self.hosts[host].breaker.nothing_to_try();
                }
                return;
            };
            self.hosts[host].in_flight += 1;
            self.at(now + LATENCY, host, Event::Answered(parcel));
        }
    }
}

fn slow_down() -> ErrorNote {
    ErrorNote {
        class: "transient",
        code: "SlowDown".to_owned(),
        message: String::new(),
    }
}
