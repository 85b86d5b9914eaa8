//! A kit's header file: what was done to the evidence, and what an audit must say of it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One file in `tests/kits/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// What is wrong with it, as a sentence.
    pub title: String,
    /// What is left out of the folder form, and why: there the store cannot be asked.
    #[serde(default)]
    pub bucket_only: Option<String>,
    /// Stores that cannot be brought to this, and why.
    #[serde(default)]
    pub sandbox_only: Option<String>,
    /// What hosts, and those who attack them, did, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What the auditor trusts and asks.
    #[serde(default)]
    pub auditor: Auditor,
    /// What the audit must say.
    pub expect: Expect,
    /// What the audit of a folder with the same files must say.
    #[serde(default)]
    pub folder: Option<Expect>,
    /// What the kit's own `verify.sh` must say of the folder.
    #[serde(default)]
    pub script: Option<Script>,
}

/// One step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What happens.
    #[serde(rename = "do")]
    pub verb: Verb,
    /// On which host, `CLIENT/HOST`.
    #[serde(default = "first_host")]
    pub host: String,
    /// What later steps and the expectation call this bundle.
    #[serde(default)]
    pub name: Option<String>,
    /// The key that signs, by name; the host's own when not given.
    #[serde(default)]
    pub key: Option<String>,
    /// How it is laid into the store.
    #[serde(default)]
    pub store: Storing,
    /// What custody says of it, other than what was stored.
    #[serde(default)]
    pub claim: Claim,
    /// What was done to it before it was stored.
    #[serde(default)]
    pub forge: Vec<Forgery>,
    /// Artifacts, by name.
    #[serde(default)]
    pub artifacts: BTreeMap<String, String>,
    /// Of `custody`: what it says untruly.
    #[serde(default)]
    pub lie: Option<Lie>,
    /// Of `rotate`: the key that is rotated to. Of `use_key`: the key from now on.
    #[serde(default)]
    pub to: Option<String>,
    /// Of `restart`: why, and what it says of the chain before.
    #[serde(default)]
    pub because: Option<String>,
    /// Of `restart`: what is wrong with the predecessor that it names.
    #[serde(default)]
    pub predecessor: Predecessor,
    /// Of `pass`: so many minutes pass on the host's clock; negative is a clock that is set back.
    #[serde(default)]
    pub minutes: i64,
    /// Of `lay`: the key below the host's folder, or absolute with a leading slash.
    #[serde(default)]
    pub object: Option<String>,
    /// Of `lay`: the bytes.
    #[serde(default)]
    pub bytes: Option<String>,
    /// Of `overlay`, `hide`, `copy`: the bundle that is meant, by name.
    #[serde(default)]
    pub of: Option<String>,
    /// Of `overlay`, `hide`: which of its objects.
    #[serde(default)]
    pub part: Part,
    /// Of `copy`: under whose folder.
    #[serde(default)]
    pub to_host: Option<String>,
}

fn first_host() -> String {
    "clinic-a/srv-1".to_owned()
}

/// What happens in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// An incident is sealed and stored.
    Incident,
    /// Custody is sealed and stored.
    Custody,
    /// A rotation bundle is sealed and stored, and the new key signs from then on.
    Rotate,
    /// Another key signs from now on, and nothing says so.
    UseKey,
    /// Another chain begins.
    Restart,
    /// The host's disk is copied.
    Snapshot,
    /// The host goes on from the copy.
    Restore,
    /// Time passes.
    Pass,
    /// Something is laid into the store that no host sealed.
    Lay,
    /// A newer version is laid over an object.
    Overlay,
    /// A delete marker is laid over an object.
    Hide,
    /// The objects of a bundle are stored under another host's folder, too.
    Copy,
}

/// How objects are laid into the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storing {
    /// Locked in COMPLIANCE mode for seven years.
    #[default]
    Locked,
    /// Not at all.
    Withheld,
    /// Without a lock.
    Unlocked,
    /// In GOVERNANCE mode.
    Governance,
    /// In COMPLIANCE mode for thirty days.
    Early,
    /// All but the signature.
    WithoutSignature,
    /// All but the artifacts.
    WithoutArtifacts,
    /// The signature unlocked, the rest locked.
    SignatureUnlocked,
}

/// What the next custody says of a bundle's objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// What is true.
    #[default]
    True,
    /// That they are stored and locked, whether or not they are.
    Stored,
    /// Nothing.
    Nothing,
    /// Other versions.
    OtherVersion,
    /// A longer lock.
    LongerLock,
    /// Other bytes.
    OtherBytes,
}

/// What was done to a bundle's bytes or its signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Forgery {
    /// A text is replaced; the signature stays.
    Edit([String; 2]),
    /// A text is replaced, the content hash and the signature are made again with this key.
    Reseal([String; 3]),
    /// A text is replaced, the signature is made again with this key, the content hash stays.
    Resign([String; 3]),
    /// The bundle ends here.
    Truncate(usize),
    /// Something is added at the end.
    Append(String),
    /// Signed again as it is, with this key.
    SignedBy(String),
    /// The signature file ends here.
    TruncateSignature(usize),
    /// The signature file becomes this.
    Signature(String),
    /// The signature becomes cosign's legacy format, which brings its own key: this one.
    Legacy(String),
    /// The bytes of the bundle of this name are stored instead, under this one's name.
    BytesOf(String),
    /// The signature of the bundle of this name is stored instead.
    SignatureOf(String),
    /// The artifact of this name is stored with other bytes.
    Artifact(String),
    /// Stored under another name.
    FileName(String),
}

/// What a custody bundle says untruly, signed by the host's own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// One bundle less was sealed: covers begins one later.
    LeavesOut,
    /// Another digest for the last bundle.
    OtherDigest,
    /// Another event type for the last incident.
    OtherIndex,
    /// The totals go back.
    TotalsBack,
    /// There was none before.
    NoPrevious,
    /// It lists less than it covers.
    ListsLess,
}

/// What a chain that begins says of the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predecessor {
    /// Where it really ended.
    #[default]
    True,
    /// That there was none.
    None,
    /// A place with other bytes.
    False,
    /// An earlier place than its end.
    Earlier,
}

/// An object of a bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `EB-….json`.
    #[default]
    Bundle,
    /// `EB-….json.bundle`.
    Signature,
    /// Its first artifact.
    Artifact,
}

/// What the auditor brings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auditor {
    /// The keyring; when empty, the key of `clinic-a/srv-1`, as `--key`.
    #[serde(default)]
    pub keyring: Vec<KeyringEntry>,
    /// Another fingerprint than the key's is asked for.
    #[serde(default)]
    pub wrong_fingerprint: bool,
    /// More arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// What the store does to the auditor.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// Another prefix than the evidence's.
    #[serde(default)]
    pub other_prefix: bool,
}

/// One key of the auditor's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyringEntry {
    /// By name.
    pub key: String,
    /// `CLIENT/HOST` that it is bound to.
    #[serde(default)]
    pub host: Option<String>,
    /// Revoked: `before` or `after` the evidence was stored.
    #[serde(default)]
    pub revoked: Option<Moment>,
    /// Valid until: the same.
    #[serde(default)]
    pub not_after: Option<Moment>,
    /// Valid from: the same.
    #[serde(default)]
    pub not_before: Option<Moment>,
}

/// A time, relative to the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before anything was stored, and after it claims to have been sealed.
    BeforeStored,
    /// Before anything was sealed.
    BeforeSealed,
    /// After everything was stored.
    AfterStored,
}

/// What the store does to the auditor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Retention may not be read.
    RetentionDenied,
    /// Versions may not be listed.
    ListingDenied,
    /// Objects may not be read.
    ReadingDenied,
    /// Answers do not come.
    Silence,
    /// Reading breaks off.
    CutBody,
}

/// What an audit must say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The reason, as `check/code` of a finding that must be there.
    #[serde(default)]
    pub because: Option<String>,
    /// Its exit code.
    pub exit: i32,
    /// Exactly what fails, the reason and what follows from it, as `check/code`.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Exactly what could not be checked, in the same form; not compared when it is not given.
    #[serde(default)]
    pub could_not_check: Option<Vec<String>>,
}

/// What `verify.sh` must say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its exit code is 0.
    pub passes: bool,
    /// What it cannot see, when it passes wrongly.
    #[serde(default)]
    pub blind: Option<String>,
}
