//! `[notify]`: files that are named whole, a topic that is one, a program that no PATH decides on.

use std::path::PathBuf;

use super::super::file::NotifySection;
use super::super::places::Places;
use super::super::settings::NotifySettings;
use super::{DAY_SECS, absolute, given, given_path, within};

pub(super) fn notify(section: NotifySection, places: &Places) -> NotifySettings {
    let path = |key: &str, path: Option<PathBuf>| {
        given_path(path).map(|path| absolute(places, &format!("notify.{key}"), path))
    };
    let secs = |key: &str, value, default, range| {
        within(places, &format!("notify.{key}"), value, default, range)
    };
    let settings = NotifySettings {
        webhook_url_file: path("webhook_url_file", section.webhook_url_file),
        webhook_key_file: path("webhook_key_file", section.webhook_key_file),
        slack_url_file: path("slack_url_file", section.slack_url_file),
        sns_topic_arn: given(section.sns_topic_arn),
        sns_profile: given(section.sns_profile),
        sns_endpoint: given(section.sns_endpoint),
        command: section.command.map(|lines| lines.0).unwrap_or_default(),
        ca_file: path("ca_file", section.ca_file),
        hold_secs: secs("hold_secs", section.hold_secs, 60, 0..=3600),
        outage_secs: secs("outage_secs", section.outage_secs, 1800, 60..=DAY_SECS),
        reminder_secs: secs(
            "reminder_secs",
            section.reminder_secs,
            DAY_SECS,
            3600..=30 * DAY_SECS,
        ),
    };
    fits(&settings, places);
    settings
}

fn fits(settings: &NotifySettings, places: &Places) {
    if let Some(program) = settings.command.first() {
        absolute(places, "notify.command", program.into());
    }
    if let Some(arn) = settings
        .sns_topic_arn
        .as_deref()
        .filter(|arn| !is_topic(arn))
    {
        places.problem(
            "notify.sns_topic_arn",
            format!("{arn:?}"),
            "it is not a topic's",
            "use one such as \"arn:aws:sns:us-east-1:123456789012:alarms\"",
        );
    }
    if let Some(key) = &settings.webhook_key_file
        && settings.webhook_url_file.is_none()
    {
        places.problem(
            "notify.webhook_key_file",
            key.display(),
            "there is no webhook to sign for",
            "set notify.webhook_url_file, or take this out",
        );
    }
}

/// `arn:PARTITION:sns:REGION:ACCOUNT:NAME` (AWS General Reference, "Amazon Resource Names").
fn is_topic(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    let is_word = |part: &&str| {
        let is_usual = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !part.is_empty() && part.bytes().all(is_usual)
    };
    parts.len() == 6 && parts[0] == "arn" && parts[2] == "sns" && parts.iter().all(is_word)
}
