//! The codes of findings. They are stable: auditors search for them.

/// A number was kept as text, because no double holds it as written.
pub const NUMBER_AS_TEXT: &str = "number_as_text";
/// A string or a name holds a Unicode noncharacter.
pub const NONCHARACTER: &str = "noncharacter";
/// The drop had a field that only the agent writes; it is kept under `extra`.
pub const HEADER_FIELD_IN_DROP: &str = "header_field_in_drop";
/// The incident's id was sealed before, with other content.
pub const INCIDENT_ID_REUSED: &str = "incident_id_reused";
/// A severity, result or resolution that this version does not know.
pub const UNKNOWN_VALUE: &str = "unknown_value";
/// The time to repair does not follow from the times.
pub const MTTR_MISMATCH: &str = "mttr_mismatch";
/// `sla_met` does not follow from the time to repair and the target.
pub const SLA_MISMATCH: &str = "sla_mismatch";
/// More steps were executed than the runbook has.
pub const STEPS_EXCEED_TOTAL: &str = "steps_exceed_total";
/// The number of steps executed is not that of the actions listed.
pub const STEPS_MISMATCH: &str = "steps_mismatch";
/// The steps are not numbered 1, 2, 3 ….
pub const STEP_NUMBERING: &str = "step_numbering";
/// Times are not in the order detected, started, acted, ended.
pub const TIME_ORDER: &str = "time_order";
/// A time lies in the future.
pub const TIME_IN_FUTURE: &str = "time_in_future";
/// An exit code contradicts the result of its step.
pub const EXIT_CODE_MISMATCH: &str = "exit_code_mismatch";
/// A digest is all zeros: a placeholder.
pub const ZERO_HASH: &str = "zero_hash";
/// A digest is not of the form it should have.
pub const MALFORMED_HASH: &str = "malformed_hash";
/// A dry run claims success.
pub const DRY_RUN_SUCCESS: &str = "dry_run_success";
/// Success is claimed, but no step was executed.
pub const SUCCESS_WITHOUT_STEPS: &str = "success_without_steps";
/// Not a citation of the Security Rule that this version knows.
pub const UNKNOWN_CITATION: &str = "unknown_citation";
