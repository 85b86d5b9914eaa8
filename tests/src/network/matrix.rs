//! Every fault of the campaign. Long, because it is a table.
//!
//! Most sit in the proxy and are the same for every store. What only a store itself can do wrong is
//! scripted on the sandbox, and asked of the real one as far as that lets itself be asked.

use std::time::Duration;

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule, VersioningConfiguration,
};
use sandbox::{Action, Fault, Identity, Versioning};

use super::ground::{Ground, Way};
use super::{Case, Shows};
use crate::proxy::{Act, Rule};
use crate::tls::Face;

const PUT: &[&str] = &["PutObject"];
const HEAD: &[&str] = &["HeadObject"];
const GET: &[&str] = &["GetObject"];
const LIST: &[&str] = &["ListObjectVersions"];
const LOCK: &[&str] = &["PutObjectRetention"];
const ASK_LOCK: &[&str] = &["GetObjectRetention"];
const PART: &[&str] = &["UploadPart"];
const CREATE: &[&str] = &["CreateMultipartUpload"];
const COMPLETE: &[&str] = &["CompleteMultipartUpload"];
/// The first bundle is confirmed before the fault; this is the next one.
const SECOND: &str = "-0002.json";
const HOURS: i64 = 5 * 3600;
/// What an object of somebody else, without a lock, leaves for the judge to find.
const FOREIGN: &[&str] = &[
    "is of nobody's key",
    "is not locked",
    "more than one version",
];

/// Every case: those of all stores, and those of the sandbox or of a real one.
#[must_use]
pub fn cases(is_sandbox: bool) -> Vec<Case> {
    let mut cases = error_table();
    cases.extend(lost_answers());
    cases.extend(phases());
    cases.extend(slow());
    cases.extend(not_the_store());
    cases.extend(credentials());
    cases.extend(clocks());
    cases.extend(locks());
    cases.extend(conditions());
    cases.extend(other_people());
    cases.extend(if is_sandbox {
        scripted()
    } else {
        real_bucket()
    });
    cases
}

fn answer(status: u16, code: &'static str, message: &'static str) -> Act {
    Act::Answer {
        status,
        code,
        message,
    }
}

/// A refusal of every PUT, by the table of the design.
fn told(fault: &'static str, status: u16, code: &'static str, shows: Shows) -> Case {
    told_in_words(fault, status, code, "", shows)
}

fn told_in_words(
    fault: &'static str,
    status: u16,
    code: &'static str,
    message: &'static str,
    shows: Shows,
) -> Case {
    Case::new("error table", fault, shows, move |g| {
        g.arm(Rule::on(PUT, answer(status, code, message)));
    })
}

/// The bundle of which something is blocked; `None` when nothing is, which is a finding already.
fn blocked(ground: &Ground) -> Option<String> {
    let id = ground.status()["blocked"][0]["bundle_id"].clone();
    id.as_str().map(str::to_owned)
}

fn release(ground: &mut Ground) {
    if let Some(id) = blocked(ground) {
        let output = ground.clinic.cli(&["blocked", "release", &id]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn reseal(ground: &mut Ground) {
    if let Some(id) = blocked(ground) {
        let reason = "somebody else's object is at our key";
        let output = ground.clinic.cli(&["reseal", &id, "--reason", reason]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn error_table() -> Vec<Case> {
    use Shows::{Blocked, Confirmed, Open, Parked, Waits};
    vec![
        told("503 SlowDown", 503, "SlowDown", Open("SlowDown")),
        told(
            "500 InternalError",
            500,
            "InternalError",
            Open("InternalError"),
        ),
        told("502 without a word", 502, "", Open("BadGateway")),
        told("504 without a word", 504, "", Open("GatewayTimeout")),
        told(
            "429 TooManyRequests",
            429,
            "TooManyRequests",
            Open("TooManyRequests"),
        ),
        told(
            "400 RequestTimeout",
            400,
            "RequestTimeout",
            Open("RequestTimeout"),
        ),
        told(
            "409 ConditionalRequestConflict",
            409,
            "ConditionalRequestConflict",
            Waits("ConditionalRequestConflict"),
        ),
        told(
            "409 OperationAborted",
            409,
            "OperationAborted",
            Waits("OperationAborted"),
        ),
        told(
            "412 for a free key",
            412,
            "PreconditionFailed",
            Waits("KeyTaken"),
        ),
        Case::new("error table", "412 for what is ours", Confirmed, |g| {
            let (status, code) = (412, "PreconditionFailed");
            g.arm(Rule::on(PUT, Act::AnswerAfterCommit { status, code }));
        })
        .logs(&["adopted"]),
        told(
            "403 AccessDenied",
            403,
            "AccessDenied",
            Parked("AccessDenied"),
        ),
        told(
            "403 InvalidAccessKeyId",
            403,
            "InvalidAccessKeyId",
            Parked("InvalidAccessKeyId"),
        ),
        told(
            "403 SignatureDoesNotMatch",
            403,
            "SignatureDoesNotMatch",
            Parked("SignatureDoesNotMatch"),
        ),
        told(
            "400 ExpiredToken",
            400,
            "ExpiredToken",
            Parked("ExpiredToken"),
        ),
        told(
            "404 NoSuchBucket",
            404,
            "NoSuchBucket",
            Parked("NoSuchBucket"),
        ),
        told(
            "400 KMS.DisabledException",
            400,
            "KMS.DisabledException",
            Parked("KMS.DisabledException"),
        ),
        told(
            "403 RequestTimeTooSkewed",
            403,
            "RequestTimeTooSkewed",
            Open("RequestTimeTooSkewed"),
        ),
        told_in_words(
            "400, the retain-until date is past",
            400,
            "InvalidRequest",
            "the retain until date must be in the future",
            Open("InvalidRequest"),
        ),
        Case::new("error table", "400 BadDigest once", Confirmed, |g| {
            g.arm(Rule::on(PUT, answer(400, "BadDigest", "")).times(1));
        })
        .logs(&["deferred", "BadDigest"]),
        told_in_words(
            "400 BadDigest for one object",
            400,
            "BadDigest",
            "",
            Blocked("refused"),
        )
        .of_one_object(400, "BadDigest"),
        told_in_words(
            "400 InvalidRequest for one object",
            400,
            "InvalidRequest",
            "",
            Blocked("refused"),
        )
        .of_one_object(400, "InvalidRequest"),
        told_in_words(
            "400 EntityTooLarge for one object",
            400,
            "EntityTooLarge",
            "",
            Blocked("too_large"),
        )
        .of_one_object(400, "EntityTooLarge"),
    ]
}

impl Case {
    fn of_one_object(mut self, status: u16, code: &'static str) -> Self {
        self.begin = Box::new(move |g| {
            g.arm(Rule::on(PUT, answer(status, code, "")).key(SECOND));
        });
        self.operator(release)
    }
}

fn lost_answers() -> Vec<Case> {
    let case = |fault, begin: fn(&mut Ground)| {
        Case::new(
            "answer lost after the commit",
            fault,
            Shows::Confirmed,
            begin,
        )
        .logs(&["adopted"])
    };
    vec![
        case("the connection is closed instead of the answer", |g| {
            g.arm(Rule::on(PUT, Act::LoseAnswer));
        }),
        case("a 500 instead of the answer", |g| {
            let (status, code) = (500, "InternalError");
            g.arm(Rule::on(PUT, Act::AnswerAfterCommit { status, code }));
        }),
        case("silence instead of the answer", |g| {
            g.arm(Rule::on(PUT, Act::SilenceAfterCommit).times(3));
        }),
        case("no answer, and If-None-Match is ignored", |g| {
            g.arm(Rule::on(PUT, Act::StripRequest("if-none-match")));
            g.arm(Rule::on(PUT, Act::LoseAnswer));
        }),
        case("no answer, and none to the question what is there", |g| {
            g.arm(Rule::on(PUT, Act::StripRequest("if-none-match")));
            g.arm(Rule::on(PUT, Act::LoseAnswer).times(4));
            g.arm(Rule::on(LIST, Act::LoseAnswer).times(6));
        }),
        case("no answer to the completion of a large object", |g| {
            g.arm(Rule::on(COMPLETE, Act::LoseAnswer));
        })
        .large(),
        case("no answer to the request for a lock", |g| {
            g.arm(Rule::on(PUT, Act::StripRequest("x-amz-object-lock-")));
            g.arm(Rule::on(LOCK, Act::LoseAnswer).times(3));
        })
        .logs(&["deferred", "PutObjectRetention"]),
    ]
}

fn phases() -> Vec<Case> {
    let always = |fault, act: Act, code| {
        Case::new("reset", fault, Shows::Open(code), move |g| {
            g.arm(Rule::always(act.clone()));
        })
    };
    let lost = "ConnectionLost";
    vec![
        Case::new(
            "reset",
            "nobody listens",
            Shows::Open("ConnectionRefused"),
            |g| {
                g.injected += 1;
                g.proxy.down();
            },
        )
        .end(|g| g.proxy.up()),
        always("at the connection", Act::ResetAtConnect, lost),
        always("before the request's body", Act::ResetBeforeBody, lost),
        Case::new(
            "reset",
            "in the middle of the body",
            Shows::Open(lost),
            |g| {
                g.arm(Rule::on(PUT, Act::ResetMidBody));
            },
        ),
        always("before the answer", Act::ResetBeforeAnswer, lost),
        always("in the middle of the answer", Act::ResetMidAnswer, lost),
        Case::new(
            "reset",
            "in the middle of every third part",
            Shows::Confirmed,
            |g| {
                for skip in [2, 5, 8] {
                    g.arm(Rule::on(PART, Act::ResetMidBody).skip(skip).times(1));
                }
            },
        )
        .large(),
    ]
}

fn slow() -> Vec<Case> {
    let pause = Duration::from_millis(40);
    vec![
        Case::new(
            "slow or silent",
            "accepts and is silent",
            Shows::Open("Timeout"),
            |g| {
                g.arm(Rule::always(Act::Silence));
            },
        ),
        Case::new(
            "slow or silent",
            "answers a byte at a time",
            Shows::Open("Timeout"),
            move |g| g.arm(Rule::always(Act::Trickle { pause })),
        ),
        Case::new(
            "slow or silent",
            "the bytes read back come one at a time",
            Shows::Waits("BodySlow"),
            move |g| {
                g.arm(Rule::on(HEAD, Act::StripAnswer("x-amz-checksum-")));
                g.arm(Rule::on(HEAD, Act::StripAnswer("etag")));
                g.arm(Rule::on(GET, Act::TrickleBody { pause }));
            },
        ),
        Case::new(
            "slow or silent",
            "stops taking the body of a part",
            Shows::Waits("Timeout"),
            |g| {
                let after_bytes = 100_000;
                g.arm(Rule::on(PART, Act::StopReading { after_bytes }));
            },
        )
        .large(),
    ]
}

fn not_the_store() -> Vec<Case> {
    let tls = |fault, face| {
        Case::new("not the store", fault, Shows::Open("Tls"), move |g| {
            g.injected += 1;
            g.tls.as_ref().expect("a way by TLS").show(face);
        })
        .way(Way::Tls)
        .end(|g| g.tls.as_ref().expect("a way by TLS").show(Face::Right))
    };
    let page = |fault, status, shows| {
        Case::new("not the store", fault, shows, move |g| {
            g.arm(Rule::always(answer(status, "", "")));
        })
    };
    vec![
        Case::new(
            "not the store",
            "its name is not known",
            Shows::Open("Dns"),
            |g| {
                g.injected += 1;
                g.set_name(false);
            },
        )
        .way(Way::Name)
        .end(|g| g.set_name(true)),
        tls("a certificate of another authority", Face::WrongAuthority),
        tls("an expired certificate", Face::Expired),
        tls("a certificate of another host", Face::OtherHost),
        tls("plain HTTP where TLS should be", Face::Plain),
        page(
            "a log-in page with 200",
            200,
            Shows::Parked("not_versioned"),
        ),
        page("a log-in page with 302", 302, Shows::Parked("Redirect")),
        page(
            "a proxy that wants a password",
            407,
            Shows::Parked("ProxyAuthenticationRequired"),
        ),
    ]
}

fn credentials() -> Vec<Case> {
    let (key, secret) = ("ROTATEDKEY0000000000", "another-secret");
    vec![
        Case::new(
            "credentials",
            "the key was replaced, and the new one comes later",
            Shows::Parked("InvalidAccessKeyId"),
            move |g| g.arm(Rule::always(Act::OnlyKey(key.to_owned()))),
        )
        .end(move |g| {
            // The old key stays unknown: only the new one ends it.
            g.arm(Rule::always(Act::OnlyKey(key.to_owned())));
            g.set_credentials(key, secret);
        }),
        Case::new(
            "credentials",
            "a wrong secret was configured",
            Shows::Parked("SignatureDoesNotMatch"),
            move |g| {
                g.injected += 1;
                let access_key = g.direct.access_key.clone();
                g.set_credentials(&access_key, "wrong");
                g.reload();
            },
        )
        .end(|g| {
            let (key, secret) = (g.direct.access_key.clone(), g.direct.secret_key.clone());
            g.set_credentials(&key, &secret);
        }),
        Case::new(
            "credentials",
            "the credentials are gone",
            Shows::Parked("NoCredentials"),
            |g| {
                g.injected += 1;
                std::fs::write(g.clinic.dir.path().join("aws-credentials"), "").unwrap();
                g.reload();
            },
        )
        .end(|g| {
            let (key, secret) = (g.direct.access_key.clone(), g.direct.secret_key.clone());
            g.set_credentials(&key, &secret);
        }),
    ]
}

fn clocks() -> Vec<Case> {
    let case = |fault, act: Act, shows| {
        Case::new("clock", fault, shows, move |g| {
            g.arm(Rule::always(act.clone()));
        })
    };
    vec![
        case(
            "the store's clock goes 5 h ahead",
            Act::WrongClock(HOURS),
            Shows::Confirmed,
        ),
        case(
            "the store's clock goes 5 h behind",
            Act::WrongClock(-HOURS),
            Shows::Confirmed,
        ),
        case(
            "only its Date is 5 h ahead",
            Act::WrongDate(HOURS),
            Shows::Open("RequestTimeTooSkewed"),
        ),
        case(
            "only its Date is 5 h behind",
            Act::WrongDate(-HOURS),
            Shows::Open("RequestTimeTooSkewed"),
        ),
    ]
}

fn locks() -> Vec<Case> {
    let strip = || Act::StripRequest("x-amz-object-lock-");
    let hide = || Act::StripAnswer("x-amz-object-lock-");
    let case =
        |fault, shows, begin: Box<dyn Fn(&mut Ground)>| Case::new("lock", fault, shows, begin);
    vec![
        case(
            "the lock of a PUT is ignored",
            Shows::Confirmed,
            Box::new(move |g| g.arm(Rule::on(PUT, strip()))),
        ),
        case(
            "the lock of a multipart upload is ignored",
            Shows::Confirmed,
            Box::new(move |g| g.arm(Rule::on(CREATE, strip()))),
        )
        .large(),
        case(
            "the lock is ignored, and the request for one refused",
            Shows::Blocked("lock_missing"),
            Box::new(move |g| {
                g.arm(Rule::on(PUT, strip()).key(SECOND));
                g.arm(Rule::on(LOCK, answer(403, "AccessDenied", "")));
            }),
        )
        .operator(release),
        case(
            "the lock is ignored, and the request for one also",
            Shows::Blocked("lock_missing"),
            Box::new(move |g| {
                g.arm(Rule::on(PUT, strip()).key(SECOND));
                g.arm(Rule::on(LOCK, answer(200, "", "")));
            }),
        )
        .operator(release),
        case(
            "the lock of a large object is ignored, and the request for one also",
            Shows::Blocked("lock_missing"),
            Box::new(move |g| {
                g.arm(Rule::on(CREATE, strip()));
                g.arm(Rule::on(LOCK, answer(200, "", "")));
            }),
        )
        .large()
        .operator(release),
        case(
            "HEAD hides the lock",
            Shows::Confirmed,
            Box::new(move |g| g.arm(Rule::on(HEAD, hide()))),
        ),
        case(
            "HEAD hides the lock, and nobody may ask for it",
            Shows::Blocked("lock_missing"),
            Box::new(move |g| {
                g.arm(Rule::on(HEAD, hide()).key(SECOND));
                g.arm(Rule::on(ASK_LOCK, answer(403, "AccessDenied", "")));
            }),
        )
        .operator(release),
    ]
}

fn conditions() -> Vec<Case> {
    let case = |fault, begin: fn(&mut Ground)| {
        Case::new("condition or checksum", fault, Shows::Confirmed, begin)
    };
    vec![
        case("If-None-Match is ignored", |g| {
            g.arm(Rule::on(PUT, Act::StripRequest("if-none-match")));
        }),
        case("no checksum is echoed", |g| {
            g.arm(Rule::always(Act::StripAnswer("x-amz-checksum-")));
        }),
        case("neither checksum nor ETag is echoed", |g| {
            g.arm(Rule::always(Act::StripAnswer("x-amz-checksum-")));
            g.arm(Rule::on(HEAD, Act::StripAnswer("etag")));
        }),
        case("no checksum of a large object is echoed", |g| {
            g.arm(Rule::always(Act::StripAnswer("x-amz-checksum-")));
        })
        .large(),
        Case::new(
            "condition or checksum",
            "the parts of a large object are not found at its completion",
            Shows::Waits("InvalidPart"),
            |g| g.arm(Rule::on(COMPLETE, answer(400, "InvalidPart", ""))),
        )
        .large(),
        Case::new(
            "condition or checksum",
            "the answer names no version",
            Shows::Parked("not_versioned"),
            |g| g.arm(Rule::on(PUT, Act::StripAnswer("x-amz-version-id"))),
        ),
    ]
}

/// The key that the next bundle will have, after the one that is confirmed already.
fn next_key(ground: &mut Ground) -> String {
    let first = ground.key_of("INC-0");
    let stem = first.strip_suffix("-0001.json").expect("the first bundle");
    format!("{stem}{SECOND}")
}

/// Holds every PUT back, lets the agent seal, and returns the key of one bundle.
fn held(ground: &mut Ground) -> String {
    ground.arm(Rule::on(PUT, answer(503, "SlowDown", "")));
    ground.drop_load();
    ground.key_of("INC-1")
}

/// Lets one bundle's object be stored without the uploader knowing: no answer, and no answer to
/// the question what is there.
fn stored_unknown(ground: &mut Ground) -> String {
    ground.arm(Rule::on(PUT, Act::LoseAnswer).key(SECOND));
    ground.arm(Rule::on(LIST, answer(503, "SlowDown", "")));
    ground.drop_load();
    let path = format!("{SECOND}.bundle");
    let keys: Vec<String> = ["INC-1", "INC-2", "INC-3"]
        .map(|id| ground.key_of(id))
        .into();
    let second = keys.iter().find(|key| key.ends_with(SECOND));
    let signature = format!("{}.bundle", second.expect("a second bundle"));
    assert!(signature.ends_with(&path));
    let key = signature.clone();
    let stored = ground.wait(super::PATIENCE, move |g| g.versions(&key) > 0);
    assert!(stored, "{signature} was never stored");
    signature
}

fn other_people() -> Vec<Case> {
    vec![
        Case::new(
            "other people",
            "their object is at our key",
            Shows::Blocked("conflict"),
            |g| {
                let key = next_key(g);
                g.put_foreign(&key);
            },
        )
        .operator(reseal)
        .leaves(FOREIGN),
        Case::new(
            "other people",
            "their object is at our key, and If-None-Match is ignored",
            Shows::Confirmed,
            |g| {
                let key = next_key(g);
                g.put_foreign(&key);
                g.arm(Rule::on(PUT, Act::StripRequest("if-none-match")));
            },
        )
        .leaves(FOREIGN),
        Case::new(
            "other people",
            "their object comes to our key while we cannot, and If-None-Match is ignored",
            Shows::Blocked("conflict"),
            |g| {
                let key = held(g);
                g.put_foreign(&key);
                g.clear();
                g.arm(Rule::on(PUT, Act::StripRequest("if-none-match")));
            },
        )
        .operator(reseal)
        .leaves(FOREIGN),
        Case::new(
            "other people",
            "their object lies over ours",
            Shows::Confirmed,
            |g| {
                let key = stored_unknown(g);
                g.put_foreign(&key);
                g.clear();
            },
        )
        .logs(&["lies over ours"])
        .leaves(FOREIGN),
        Case::new(
            "other people",
            "a delete marker lies over ours",
            Shows::Confirmed,
            |g| {
                let key = stored_unknown(g);
                g.delete(&key);
                g.clear();
            },
        )
        .logs(&["lies over ours"])
        .leaves(&["a delete marker lies over"]),
    ]
}

/// What the sandbox alone can do.
fn scripted() -> Vec<Case> {
    let case = |fault, shows, begin: Box<dyn Fn(&mut Ground)>| {
        Case::new("scripted store", fault, shows, begin)
    };
    let strikes = |fault, shows, faults: Vec<Fault>| {
        case(
            fault,
            shows,
            Box::new(move |g: &mut Ground| {
                for fault in &faults {
                    g.script(fault.clone());
                }
            }),
        )
    };
    use Action::{
        CorruptBytes, CutBody, DropAfterCommit, DropBeforeCommit, HideChecksum, HideLock,
        IgnoreIfNoneMatch, LoseLock, ReportSuspended, SlowBody, StallRequest, StallResponse,
        WeakenLock,
    };
    let weak = |to_governance, shorter_by_secs| WeakenLock {
        to_governance,
        shorter_by_secs,
    };
    let millis = 3000;
    vec![
        strikes(
            "the store loses locks",
            Shows::Confirmed,
            vec![Fault::on("PutObject", LoseLock)],
        ),
        strikes(
            "the store makes the lock GOVERNANCE",
            Shows::Blocked("lock_missing"),
            vec![Fault::on("PutObject", weak(true, 0)).key(SECOND)],
        )
        .operator(|g| {
            make_compliance(g);
            release(g);
        }),
        strikes(
            "the store locks a day less",
            Shows::Confirmed,
            vec![Fault::on("PutObject", weak(false, 86_400))],
        ),
        strikes(
            "the store ignores If-None-Match and drops answers",
            Shows::Confirmed,
            vec![
                Fault::on("PutObject", IgnoreIfNoneMatch),
                Fault::on("PutObject", DropAfterCommit),
            ],
        ),
        strikes(
            "the store drops requests",
            Shows::Open("ConnectionLost"),
            vec![Fault::on("PutObject", DropBeforeCommit)],
        ),
        strikes(
            "the store hides checksums and locks",
            Shows::Confirmed,
            vec![
                Fault::always(HideChecksum),
                Fault::on("HeadObject", HideLock),
            ],
        ),
        strikes(
            "the store stalls before the body",
            Shows::Open("Timeout"),
            vec![Fault::on("PutObject", StallRequest { millis })],
        ),
        strikes(
            "the store stalls after the commit",
            Shows::Confirmed,
            vec![Fault::on("PutObject", StallResponse { millis }).times(4)],
        )
        .logs(&["adopted"]),
        strikes(
            "the store cuts its listings",
            Shows::Waits("BadResponse"),
            vec![
                Fault::on("PutObject", DropAfterCommit),
                Fault::on("ListObjectVersions", CutBody { after_bytes: 100 }),
            ],
        ),
        strikes(
            "the store lists a few bytes a second",
            Shows::Waits("Timeout"),
            vec![
                Fault::on("PutObject", DropAfterCommit),
                Fault::on(
                    "ListObjectVersions",
                    SlowBody {
                        piece_bytes: 4,
                        pause_millis: 500,
                    },
                ),
            ],
        ),
        case(
            "the store damages what it keeps, and tells the checksum of what it was sent",
            Shows::Blocked("stored_bytes_differ"),
            Box::new(|g| {
                g.script(Fault::on("PutObject", CorruptBytes).key(SECOND).nth(2));
                g.script(Fault::always(HideChecksum));
                g.arm(Rule::on(HEAD, Act::StripAnswer("etag")));
            }),
        )
        .operator(|g| {
            release(g);
            // It is not believed, but read, and then there are other bytes at our key.
            let seen = g.wait(super::PATIENCE, |g| {
                g.status()["blocked"][0]["reason"] == "conflict"
            });
            assert!(seen, "{}", g.status());
            reseal(g);
        })
        .leaves(&["-0002.json"]),
        strikes(
            "the bucket says that its versioning is suspended",
            Shows::Parked("bucket_unfit"),
            vec![Fault::always(ReportSuspended)],
        )
        .and_reload(),
        case(
            "versioning is suspended",
            Shows::Parked("bucket_unfit"),
            Box::new(|g| {
                g.injected += 1;
                suspend(g, Versioning::Suspended);
            }),
        )
        .logs(&["not_versioned"])
        .end(|g| suspend(g, Versioning::Enabled)),
        case(
            "the key was taken away, and another is made",
            Shows::Parked("InvalidAccessKeyId"),
            Box::new(|g| {
                g.injected += 1;
                let old = g.direct.access_key.clone();
                g.clinic.sandbox.identities().remove(&old);
                let mine = Identity::new("JUDGE000000000000000", "of-the-judge");
                g.clinic.sandbox.identities().put(mine);
                g.direct.access_key = "JUDGE000000000000000".to_owned();
                g.direct.secret_key = "of-the-judge".to_owned();
            }),
        )
        .end(|g| {
            let (key, secret) = ("NEWKEY00000000000000", "of-the-uploader");
            g.clinic
                .sandbox
                .identities()
                .put(Identity::new(key, secret));
            g.set_credentials(key, secret);
        }),
        case(
            "the sandbox's own clock goes 5 h ahead",
            Shows::Confirmed,
            Box::new(|g| {
                g.injected += 1;
                g.clinic.sandbox.clock().set_offset_secs(HOURS);
            }),
        ),
        case(
            "the sandbox's own clock goes 5 h behind",
            Shows::Confirmed,
            Box::new(|g| {
                g.injected += 1;
                g.clinic.sandbox.clock().set_offset_secs(-HOURS);
            }),
        ),
        default_rule("scripted store"),
    ]
}

impl Case {
    /// The bucket is looked at again, as it is once a day.
    fn and_reload(self) -> Self {
        let before = self.begin;
        Self {
            begin: Box::new(move |g| {
                before(g);
                g.reload();
            }),
            ..self
        }
    }
}

/// What a bucket's administrator can do about a GOVERNANCE lock.
fn make_compliance(ground: &mut Ground) {
    let client = ground.direct.client();
    for item in ground.status()["blocked"].as_array().into_iter().flatten() {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let key = format!("{}{}", ground.direct.prefix, text("path"));
        let head = client
            .head_object()
            .bucket(&ground.direct.bucket)
            .key(&key)
            .version_id(text("version_id"));
        let head = ground.clinic.runtime().block_on(head.send()).unwrap();
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Compliance)
            .set_retain_until_date(head.object_lock_retain_until_date)
            .build();
        let lock = client
            .put_object_retention()
            .bucket(&ground.direct.bucket)
            .key(&key)
            .version_id(text("version_id"))
            .bypass_governance_retention(true)
            .retention(retention);
        ground.clinic.runtime().block_on(lock.send()).unwrap();
    }
}

fn suspend(ground: &mut Ground, to: Versioning) {
    let store = ground.clinic.sandbox.store();
    store
        .tamper_versioning(&ground.direct.bucket, to)
        .expect("the sandbox has this bucket");
}

/// A default rule that is weaker and shorter than what we ask for.
fn default_rule(kind: &'static str) -> Case {
    Case::new(
        kind,
        "the default rule becomes GOVERNANCE, 1 day",
        Shows::Confirmed,
        |g| {
            let retention = DefaultRetention::builder()
                .mode(ObjectLockRetentionMode::Governance)
                .days(1)
                .build();
            let rule = ObjectLockRule::builder()
                .default_retention(retention)
                .build();
            let configuration = ObjectLockConfiguration::builder()
                .object_lock_enabled(ObjectLockEnabled::Enabled)
                .rule(rule)
                .build();
            let client = g.direct.client();
            let put = client
                .put_object_lock_configuration()
                .bucket(&g.direct.bucket)
                .object_lock_configuration(configuration);
            g.clinic.runtime().block_on(put.send()).unwrap();
            g.injected += 1;
        },
    )
}

/// What a real store lets itself be asked.
fn real_bucket() -> Vec<Case> {
    vec![
        default_rule("real bucket"),
        Case::new(
            "real bucket",
            "versioning is to be suspended, which the store refuses",
            Shows::Confirmed,
            |g| {
                let client = g.direct.client();
                let suspended = VersioningConfiguration::builder()
                    .status(BucketVersioningStatus::Suspended)
                    .build();
                let put = client
                    .put_bucket_versioning()
                    .bucket(&g.direct.bucket)
                    .versioning_configuration(suspended);
                let refused = g.clinic.runtime().block_on(put.send());
                assert!(refused.is_err(), "a bucket with Object Lock was suspended");
                g.injected += 1;
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_fault_is_named_twice() {
        for is_sandbox in [true, false] {
            let cases = cases(is_sandbox);
            let names: BTreeSet<_> = cases.iter().map(|c| (c.kind, c.fault)).collect();
            assert_eq!(names.len(), cases.len());
        }
    }
}
