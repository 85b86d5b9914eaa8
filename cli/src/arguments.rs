//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::audit::AuditOptions;
use crate::hold::{ExtendOptions, HoldOptions};
use crate::list::ListOptions;
use crate::pull::PullOptions;
use crate::report::ReportOptions;
use crate::setup::SetupOptions;

/// Tamper-evident evidence of automatic remediation: for engineers and for auditors.
///
/// Exit codes: 0 done, and good; 1 wrong usage or configuration, nothing was done; 2 checked, and
/// bad; 3 could not be done or checked; 70 a fault in this program.
#[derive(Parser)]
#[command(name = "msp-evidence", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(
        long, global = true, value_name = "FILE",
        env = host::config::CONFIG_PATH_VARIABLE,
        default_value = host::config::DEFAULT_PATH
    )]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Set this host up: configuration, keys, credentials, bucket, services, and a probe to show it works.
    ///
    /// At a terminal it asks what no flag says; with --yes or --json it asks nothing. Every step says what
    /// was done; nothing that is there is overwritten, so run it again and it goes on where it was. The
    /// signing key's password is made unless --password-file gives one. Where systemd can, secrets are kept
    /// as its credentials in /etc/msp/credentials, encrypted for this machine (systemd 250 or later).
    /// With a --config elsewhere, keys and secrets lie beside it and no service is started.
    ///
    /// The probe is one bundle that is sealed, stored and LOCKED as evidence is, for the configured
    /// retention, and counts as none. It is said before until when, and it needs --probe or --yes, or your
    /// word. Run it as root.
    ///
    /// Exit codes: 0 nothing of it remains; 1 wrong usage, or a configuration that says otherwise: nothing
    /// was done; 3 something failed or remains: the steps say what, and what to do.
    ///
    /// Example: msp-evidence setup --client-id clinic-012 --bucket clinic-012-evidence --region us-east-1
    /// --s3-credentials ./aws-credentials --yes
    Setup(Box<SetupOptions>),
    /// Make or show the signing key.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check an incident document and drop it for sealing, alone or with artifacts.
    ///
    /// FILE may be a folder that holds incident.json and artifacts/; it is copied. A document that the agent would quarantine is refused here (exit code 2) and not dropped.
    /// Findings are printed; they are sealed with the incident and never refuse it.
    ///
    /// Example: my-executor --report | msp-evidence submit -
    ///
    /// Example: msp-evidence submit incident.json --artifact backup.log --artifact before.png
    Submit(SubmitOptions),
    /// Say what screening would take out of a file, and why; nothing is changed.
    ///
    /// A JSON document is looked at as a drop is, each value under its name; anything else as the text
    /// artifact that it would be. Of what was found only the rule, the place and the length are told, never
    /// the value. The rules are those of the configuration, or the built-in ones where there is none.
    ///
    /// Exit codes: 0 looked; 1 usage, or [screening] cannot be used; 3 it could not be read.
    ///
    /// Example: msp-evidence screen incident.json
    ///
    /// Example: journalctl -u backup | msp-evidence screen - --json
    ///
    /// Example: msp-evidence screen --rules
    Screen(ScreenOptions),
    /// Show what is sealed, pending, confirmed, parked and blocked, and what cannot be done.
    ///
    /// What cannot be read is an alarm, and the exit code is 3; the rest is shown all the same.
    /// Reads both databases beside running daemons or without them. Run it as root, or as a user
    /// who may read both.
    Status(WatchOptions),
    /// Show one bundle with its storage locations completed.
    ///
    /// The signed file carries the plan; what was confirmed since comes from the uploader's
    /// receipts. `verify` checks the file, and the store itself has the last word.
    Show(ShowOptions),
    /// Prove bundles again, offline, with a public key that you trust.
    ///
    /// Checks of each EB-….json: the signature beside it (….json.bundle) with exactly this key, the
    /// schema, the content hash, and the size and digest of each artifact that it names (below
    /// EB-…/artifacts/). Get the key from the MSP by another way than the evidence.
    ///
    /// Exit codes: 0 every bundle verified, 1 usage, 2 at least one is bad, 3 something could not
    /// be checked.
    ///
    /// Example: msp-evidence verify /var/lib/msp/evidence --key msp.pub
    Verify(VerifyOptions),
    /// List evidence in a bucket or folder: by client, host, time, control, SLA, and more.
    ///
    /// Custody bundles are the index, so a month is found without fetching each of its bundles. Nothing
    /// is listed that is not proven with the keys that you give; what could not be proven is counted and
    /// named on standard error.
    ///
    /// Exit codes: 0 listed; 1 usage; 2 something there is not evidence; 3 something could not be checked,
    /// or is listed by custody and not stored here, or nothing is there at all.
    ///
    /// Example: msp-evidence list --bucket clinic-evidence --key msp.pub --from 2026-10 --to 2026-10
    ///
    /// Example: msp-evidence list --folder ./kit --key msp.pub --control '164.308(a)(7)' --csv
    List(Box<ListOptions>),
    /// Pull selected evidence into a folder that stands by itself.
    ///
    /// Bundles, signatures, artifacts, the custody bundles that cover them and show that nothing is left
    /// out, and what the store said of each object. verify.sh in it needs only stock cosign, jq and
    /// sha256sum, and a key that you bring: ./verify.sh msp.pub. The same pulled twice is the same, byte
    /// for byte; a pull that was interrupted goes on when it is begun again.
    ///
    /// Exit codes: 0 pulled; 1 usage; 2 something there is not evidence; 3 something could not be pulled or
    /// checked, or nothing is there at all.
    ///
    /// Example: msp-evidence pull --bucket clinic-evidence --key msp.pub --from 2026-10 --to 2026-10
    /// --out october
    ///
    /// Example: msp-evidence pull --folder ./copy --key msp.pub --sample 25 --seed 7 --out sample
    Pull(Box<PullOptions>),
    /// Put a legal hold on selected evidence, at the store: it is kept until the hold is taken off.
    ///
    /// Every version of each bundle, its signature and its artifacts is held and read back. Who wants it
    /// and why is signed with your own key and stored, locked, below records/ in the bucket: what is
    /// intended before anything is changed, what came of it afterwards. Needs credentials that may read,
    /// put records and put legal holds (docs/buckets.md); the uploader's may not.
    ///
    /// Exit codes: 0 everything was done and read back; 1 usage, or you did not agree; 3 something was
    /// refused, is not stored here or could not be checked: the record names it.
    ///
    /// Example: msp-evidence hold --bucket clinic-evidence --key srv-1.pub --host srv-1 --from 2026-10
    /// --to 2026-10 --reason "a dispute, case 17" --on-behalf-of "counsel" --sign-with operator.key
    Hold(Box<HoldOptions>),
    /// Take a legal hold off selected evidence, at the store: from then on only its retention keeps it.
    ///
    /// Recorded, read back and told as by hold.
    ReleaseHold(Box<HoldOptions>),
    /// Keep selected evidence longer, at the store: its COMPLIANCE lock is extended, for good.
    ///
    /// Recorded, read back and told as by hold. A lock is never shortened; what is kept long enough
    /// already is left as it is.
    ///
    /// Example: msp-evidence extend --bucket clinic-evidence --key srv-1.pub --host srv-1 --until 2040-12
    /// --reason "state law asks for ten years" --on-behalf-of "compliance" --sign-with operator.key
    Extend(Box<ExtendOptions>),
    /// Look at the configured buckets.
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// See where evidence goes, retire a destination, or bring one up to date that was added later.
    #[command(subcommand)]
    Destination(DestinationCommand),
    /// Seal bundles again under new names, because other bytes were found under their keys.
    ///
    /// Nothing is ever overwritten, so a delivery that is `blocked: conflict` goes nowhere by itself.
    /// First find out who wrote there (see docs/operations.md, "Conflicts and reseal"). The new bundle
    /// has the same body and names the earlier one; both are kept. If the earlier one is of the
    /// present chain, a new chain is begun, since a clone of this host may be writing the old one.
    ///
    /// Exit codes: 0 resealed, 1 refused, 3 nothing of it is in conflict, or the agent does not run
    /// (then it is done when the agent starts).
    ///
    /// Example: msp-evidence reseal --all-conflicts --reason "the host was cloned for a test"
    Reseal(ResealOptions),
    /// List or release deliveries that wait for an operator.
    #[command(subcommand)]
    Blocked(BlockedCommand),
    /// List or retry drops that could not be sealed.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Check everything on this host that can keep evidence from being sealed, stored or protected.
    ///
    /// Configuration, permissions and owners, keys, the drop folder and what waits in it, room, clock,
    /// services and their alarms, credentials, the way to each store and its certificate, bucket,
    /// permissions there, retention. Every finding says what to do, with the command. Nothing is
    /// written, unless --write-probe asks for it. Run it as root, with the uploader's environment.
    ///
    /// Exit codes: 0 nothing is wrong (warnings may be told); 1 wrong usage, not agreed, or a
    /// configuration that is not valid; 2 at least one problem; 3 no problem, but something could not
    /// be checked.
    ///
    /// Example: msp-evidence doctor --json
    Doctor(DoctorOptions),
    /// Check the configuration, or show what counts and where each value comes from.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check this host: databases, files, chain and deliveries, and with --bucket what the stores hold.
    ///
    /// Every bundle's signature, hash and place in the chain is checked with the public key, every file
    /// compared with the spool, every confirmation with what was sealed; with --bucket every confirmed
    /// version is asked for again, with its lock. Looking changes nothing, and the services may run.
    /// Run it as root, or as a user who may read everything.
    ///
    /// Exit codes: 0 consistent (notes count as good); 1 wrong usage, or a service runs that must not;
    /// 2 something is damaged, or was left for the services to put right; 3 something could not be
    /// checked.
    ///
    /// Example: msp-evidence fsck --bucket
    Fsck(FsckOptions),
    /// Audit a bucket, or a folder copied from one, with the public keys that you trust.
    ///
    /// Every version of every object is listed and read: signatures, hashes, the chain of each host, what
    /// its custody bundles say against what is stored, locks and retention, times, and anything that does
    /// not belong there. Each check tells how much of how much passed, failed, or could not be checked;
    /// what was not checked never counts as passed. A folder has no locks, versions and dates of a
    /// store, so those cannot be checked there. docs/auditors.md goes through it step by step.
    ///
    /// Exit codes: 0 everything passed; 1 wrong usage; 2 at least one check failed; 3 none failed, and
    /// something could not be checked, which is no pass.
    ///
    /// Example: msp-evidence audit --bucket clinic-evidence --region us-east-1 --key msp.pub
    /// --client clinic-a --host srv-1 --state october.audit
    Audit(Box<AuditOptions>),
    /// Make a report of an audit: one HTML file to read, print and file, and the same as JSON and CSV.
    ///
    /// It is made from the working file that `audit --state` kept; nothing is fetched, and no key is
    /// needed. report.html stands by itself: nothing is loaded from elsewhere, and it reads without
    /// scripts. It shows what was audited and with which keys, every check with its counts, a timeline,
    /// coverage hour by hour, the controls that incidents cite, service level and time to repair, every
    /// finding, and a section for each bundle. Beyond --sections bundles the page says what it leaves to
    /// report.json and bundles.csv, which always have everything. The same audit gives the same bytes.
    ///
    /// Exit codes: 0 written, whatever the audit found; 1 wrong usage, or the audit did not come to its
    /// end; 3 it could not be written.
    ///
    /// Example: msp-evidence report --state october.audit --out october/
    Report(ReportOptions),
}

#[derive(Args)]
pub(crate) struct DoctorOptions {
    /// Also store one small object at each destination, lock it as evidence is locked, and read it
    /// back: only so it shows whether the credentials may write. It seals nothing. It STAYS for the
    /// configured retention; until when is said, and asked first.
    #[arg(long)]
    pub(crate) write_probe: bool,
    /// Do not ask.
    #[arg(long, requires = "write_probe")]
    pub(crate) yes: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration as the services do, and tell all that is wrong with it.
    ///
    /// The file, then each *.toml of the folder beside it that ends in .d (evidence.d), in the order
    /// of their names, then the environment: setting by setting the later one wins, and a list such as
    /// [[destination]] is replaced as a whole. Every problem is told, with file, line, setting and
    /// remedy, not only the first. Nothing is changed, and no service needs to run.
    ///
    /// Exit codes: 0 the services start with it (warnings may be told); 1 they do not.
    ///
    /// Example: msp-evidence config check && systemctl restart msp-evidence-agent
    Check(ConfigCheckOptions),
    /// Show the settings, each with the file and line or the variable that it comes from.
    ///
    /// No setting is a secret: passwords and credentials are in files that are named and never read
    /// here.
    ///
    /// Example: msp-evidence config show --effective
    Show(ConfigShowOptions),
}

#[derive(Args)]
pub(crate) struct ConfigCheckOptions {
    /// Check this file instead, with its own folder of drop-ins.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ConfigShowOptions {
    /// Also what nobody set, with its default.
    #[arg(long)]
    pub(crate) effective: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct FsckOptions {
    /// Ask each configured bucket, too. Needs the uploader's credentials.
    #[arg(long)]
    pub(crate) bucket: bool,
    /// Write missing and torn files again from the spool, remove finished orders, and set a damaged
    /// delivery.db aside. Both services must be stopped; starting them does the same.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Make a destroyed spool.db anew from the evidence folder and the buckets. Both services must be
    /// stopped. The old file is kept beside the new one; everything is ordered again and proven again.
    /// What was found nowhere is printed, and named in the first bundle of the chain that then begins.
    #[arg(long, conflicts_with = "repair")]
    pub(crate) rebuild: bool,
    /// Rebuild from the evidence folder alone.
    #[arg(long, requires = "rebuild")]
    pub(crate) without_buckets: bool,
    /// Do not ask before rebuilding.
    #[arg(long, requires = "rebuild")]
    pub(crate) yes: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the signing key, its public half, the digest key and the screening key; never overwrites.
    ///
    /// The private key (mode 0400) is cosign's own encrypted file, so `cosign` can use it too. The
    /// password comes from the systemd credential `signing-key-password`, from --password-file or
    /// signing.password_file, from COSIGN_PASSWORD, or is asked for, in this order.
    Generate(GenerateOptions),
    /// Make the key of the tokens in markers, where it is missing, or another one in its place.
    ///
    /// What screening takes out is replaced by a marker with a token, made of the value with this key: equal
    /// values have equal tokens. All hosts of a client may share it, by copying the file. Run it as root, or
    /// as the agent's user, and restart or reload the agent.
    Screening(ScreeningKeyOptions),
    /// Show the key id (fingerprint) and the public key.
    Show(ShowKeyOptions),
    /// Sign with a new key from now on; the old one vouches for it in a signed bundle.
    ///
    /// Makes the next key beside the one in use (KEY.next), asks the agent to rotate to it, and puts the
    /// files in place: the old key stays as KEY.retired-FINGERPRINT with its public half, since what it
    /// signed is verified with it. The next key needs the same password. Whatever interrupts it, run it
    /// again: a rotation that was committed is finished, and none is done twice. Run it as root, or as the
    /// agent's user. Give auditors the new public key; those who pin the old one can follow the rotation.
    ///
    /// A key that was lost or exposed is not rotated but revoked, in the auditors' keyring; put a new one
    /// in its place, and a new chain begins.
    ///
    /// Exit codes: 0 rotated, or an earlier rotation finished; 1 refused, nothing was changed; 3 the agent
    /// has not answered: it rotates when it runs, then run this again.
    ///
    /// Example: msp-evidence keys rotate --reason "yearly, by policy"
    Rotate(RotateOptions),
    /// Write this host's public keys into a folder, as a keyring that auditors can use as it is.
    ///
    /// The key in use and the retired ones, each with its fingerprint, client and host in keyring.toml.
    /// Many hosts can share the folder, one after the other: entries of others are left as they are, and
    /// what is there is not written again. Never put it into the bucket or beside the evidence: who can
    /// forge evidence could replace it there. Tell auditors the fingerprints by another way.
    ///
    /// Example: msp-evidence keys publish --to /srv/auditors/keys
    Publish(PublishOptions),
}

#[derive(Args)]
pub(crate) struct PublishOptions {
    /// The folder; it is made when it is not there.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct RotateOptions {
    /// Why, in one line; it is signed.
    #[arg(long, value_name = "WORDS")]
    pub(crate) reason: String,
    /// Who wants it, in one line; it is signed. The login that runs this when absent.
    #[arg(long, value_name = "WHO")]
    pub(crate) by: Option<String>,
    /// An encrypted key made elsewhere, such as by `cosign generate-key-pair`; made here when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) next: Option<PathBuf>,
    /// A file with the password, readable by its owner only.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ScreenOptions {
    /// What to look at; `-` for standard input.
    #[arg(value_name = "FILE", required_unless_present = "rules")]
    pub(crate) file: Option<PathBuf>,
    /// List the rules with their actions, and what of gitleaks is left out.
    #[arg(long, conflicts_with = "file")]
    pub(crate) rules: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ScreeningKeyOptions {
    /// Destroy the key that is there, and make another one in its place.
    ///
    /// From then on nobody can tell by their markers which values that were taken out before are equal, or
    /// try values against them. Nothing else is lost. Copies of the key are yours to destroy.
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Args)]
pub(crate) struct GenerateOptions {
    /// Where to write the private key; the public one is written beside it, ending in .pub.
    /// From the configuration when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// A file with the password, readable by its owner only.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ShowKeyOptions {
    /// A public key; from the configuration when absent.
    #[arg(long = "pub", value_name = "FILE")]
    pub(crate) public: Option<PathBuf>,
    /// A private key, to see (with its password) which public key belongs to it.
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    pub(crate) key: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct SubmitOptions {
    /// The document, `-` for standard input, or a folder.
    #[arg(value_name = "FILE|FOLDER|-")]
    pub(crate) file: PathBuf,
    /// A file that is stored with the document, of any size; its name is kept. Can be repeated.
    #[arg(long = "artifact", value_name = "FILE")]
    pub(crate) artifacts: Vec<PathBuf>,
    /// Only check it.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Args)]
pub(crate) struct StatusOptions {
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct WatchOptions {
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Go on showing it until Ctrl-C: in place on a terminal, otherwise a line for each change.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Args)]
pub(crate) struct ShowOptions {
    /// Such as EB-20261121-0001.
    pub(crate) bundle_id: String,
    /// As JSON: the signed document, with `storage_locations` completed.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct VerifyOptions {
    /// Bundles, or folders with bundles anywhere below.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    pub(crate) paths: Vec<PathBuf>,
    /// The public key.
    #[arg(long, value_name = "PUB")]
    pub(crate) key: PathBuf,
    /// As JSON, with the result of each bundle.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only what is not verified, and the totals.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand)]
pub(crate) enum BucketCommand {
    /// Look at each bucket as the uploader does at its start; writes nothing.
    Check(BucketCheckOptions),
    /// Find out whether a store keeps what evidence relies on: conditional and locked uploads, in
    /// one request and in parts, locks that nobody can shorten, versions that nobody can delete.
    ///
    /// It stores a few small objects under a prefix of its own and LOCKS them in COMPLIANCE mode, for
    /// ten minutes unless told otherwise: nobody can delete them before. It says so and asks first.
    /// docs/stores.md says what each check and difference means.
    ///
    /// Exit codes: 0 qualified, or usable with differences that are named; 1 usage, or not agreed;
    /// 2 not usable for evidence; 3 could not be checked.
    ///
    /// Example: msp-evidence bucket conformance --endpoint https://s3.example.com --path-style
    /// --bucket trial --region us-east-1 --yes, with credentials in the environment
    Conformance(ConformanceOptions),
    /// Create the bucket of a destination, with the settings of the templates in docs/buckets.md:
    /// Object Lock with a default rule of retention.days in COMPLIANCE mode, versioning, no public
    /// access, no ACLs, encryption, a lifecycle rule for incomplete uploads, and a policy that denies
    /// deleting and loosening to everybody but the admin roles.
    ///
    /// It says what it is going to do and asks first: what the bucket locks, nobody can unlock. A bucket
    /// that holds anything is never touched; one that is empty is completed. Everything is read back.
    /// It needs credentials that may create buckets, which the uploader's must not be; give them by the
    /// environment. It makes no roles: the templates do.
    ///
    /// Exit codes: 0 created, and everything was read back as it should be; 1 usage, not agreed, or the
    /// bucket is in use; 2 something is not as it should be; 3 it could not be done or read back.
    ///
    /// Example: msp-evidence bucket create --destination primary --admin-role
    /// arn:aws:iam::111122223333:role/evidence-admin --dry-run
    Create(BucketCreateOptions),
}

#[derive(Args)]
pub(crate) struct BucketCreateOptions {
    /// A configured destination; not needed when only one is configured.
    #[arg(long, value_name = "ID")]
    pub(crate) destination: Option<String>,
    /// ARN of a role that may change the bucket afterwards; repeat it for several. Yours must be one of
    /// them. Stores that are not AWS need none, and without one get no policy.
    #[arg(long = "admin-role", value_name = "ARN")]
    pub(crate) admin_roles: Vec<String>,
    /// ARN of a role that may put legal holds and take them off; repeat it for several.
    #[arg(long = "operations-role", value_name = "ARN", requires = "admin_roles")]
    pub(crate) operations_roles: Vec<String>,
    /// Attach no policy to the bucket.
    #[arg(long, conflicts_with = "admin_roles")]
    pub(crate) no_policy: bool,
    /// Days after which uploads that were begun and not completed are cleared away.
    #[arg(long, value_name = "DAYS", default_value_t = 7,
          value_parser = clap::value_parser!(u32).range(1..=365))]
    pub(crate) abort_incomplete_upload_days: u32,
    /// Look, and show what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct BucketCheckOptions {
    /// Only this destination.
    #[arg(long, value_name = "ID")]
    pub(crate) destination: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ConformanceOptions {
    /// A configured destination; not needed when only one is configured.
    #[arg(long, value_name = "ID", conflicts_with = "bucket")]
    pub(crate) destination: Option<String>,
    /// A bucket that is not configured; then no configuration is read.
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// Its region.
    #[arg(
        long,
        value_name = "REGION",
        requires = "bucket",
        default_value = "us-east-1"
    )]
    pub(crate) region: String,
    /// Its endpoint, where it is not AWS.
    #[arg(long, value_name = "URL", requires = "bucket")]
    pub(crate) endpoint: Option<String>,
    /// The bucket in the path instead of the host's name.
    #[arg(long, requires = "bucket")]
    pub(crate) path_style: bool,
    /// How long the objects are locked, in seconds; a run must be over before.
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u32).range(300..=86_400))]
    pub(crate) lock_secs: u32,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum DestinationCommand {
    /// Each destination with its state, counts and oldest pending work.
    List(StatusOptions),
    /// End all deliveries to a destination, for ever, with a reason that is kept.
    ///
    /// Bundles that are confirmed there stay so. What is not is no longer waited for; evidence is not
    /// lost, since the last destination cannot be retired. Afterwards remove it from the
    /// configuration. Its id can never be used again.
    Retire(RetireOptions),
    /// Order everything that was sealed before a destination was added for that destination too.
    ///
    /// Add it to the configuration and restart both services first. What was ordered before is left
    /// out, so it can be repeated.
    Backfill(BackfillOptions),
}

#[derive(Args)]
pub(crate) struct RetireOptions {
    /// The destination's id.
    #[arg(value_name = "ID")]
    pub(crate) destination: String,
    /// Why, in one line.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// The answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct BackfillOptions {
    /// The destination's id.
    #[arg(value_name = "ID")]
    pub(crate) destination: String,
    /// Only what was sealed on this UTC day or later.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) since: Option<String>,
    /// The answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ResealOptions {
    /// The bundle.
    #[arg(required_unless_present = "all_conflicts", value_name = "BUNDLE_ID")]
    pub(crate) bundle_id: Option<String>,
    /// Every bundle with a delivery that is blocked by a conflict.
    #[arg(long, conflicts_with = "bundle_id")]
    pub(crate) all_conflicts: bool,
    /// Why, in one line.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// The answers as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum BlockedCommand {
    /// What is blocked, why, and what to do.
    List(StatusOptions),
    /// Send blocked deliveries of a bundle back to pending, once the cause is gone. Nothing is ever
    /// overwritten: what is at the key is looked at first.
    Release(ReleaseOptions),
}

#[derive(Args)]
pub(crate) struct ReleaseOptions {
    /// The bundle.
    pub(crate) bundle_id: String,
    /// Only at this destination.
    #[arg(long, value_name = "ID")]
    pub(crate) destination: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum QuarantineCommand {
    /// What could not be sealed, and why.
    List(StatusOptions),
    /// Put drops back into the drop folder, after the cause is gone.
    Retry(RetryOptions),
}

#[derive(Args)]
pub(crate) struct RetryOptions {
    /// A name from `quarantine list`.
    #[arg(required_unless_present = "all")]
    pub(crate) name: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}
