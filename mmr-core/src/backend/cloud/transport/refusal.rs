//! Answers that are no success.

use ::object_store::client::HttpErrorKind;
use http::StatusCode;
use serde::Deserialize;

/// What a store said instead of doing as it was asked: its code and message, and nothing else of its answer.
#[derive(Debug, thiserror::Error)]
#[error("the store answered {status}{}{code}{}{message}", sep(.code), sep(.message))]
pub(in crate::backend) struct Refusal {
    pub(in crate::backend) status: StatusCode,
    pub(in crate::backend) code: String,
    message: String,
}

fn sep(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}

/// What a refusal means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Meaning {
    Denied,
    Full,
    Unavailable,
    Other,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorAnswer {
    code: String,
    message: String,
}

/// An answer that was read whole.
pub(super) enum Answer {
    Success,
    /// What was asked for is not there, is there already, or has changed.
    Known(String),
    Refused(Refusal),
}

/// Messages are for logs, and not ours.
const MAX_MESSAGE: usize = 300;

impl Answer {
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        // Azure begins with a byte order mark.
        let text = text.trim_start_matches('\u{feff}');
        let refuses = text.contains("<Error>") || text.contains("<Error ");
        if status.is_success() && !refuses {
            return Self::Success;
        }
        let ErrorAnswer { code, message } =
            if refuses { quick_xml::de::from_str(text).unwrap_or_default() } else { ErrorAnswer::default() };
        let message = message.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect();
        let refusal = Refusal { status, code, message };
        let known = matches!(
            status,
            StatusCode::NOT_FOUND
                | StatusCode::NOT_MODIFIED
                | StatusCode::CONFLICT
                | StatusCode::PRECONDITION_FAILED
        );
        // A bucket that is gone does not mean that every object is.
        let whole = ["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"];
        if known && !whole.contains(&&*refusal.code) {
            Self::Known(refusal.to_string())
        } else {
            Self::Refused(refusal)
        }
    }
}

impl Refusal {
    pub(in crate::backend) fn meaning(&self) -> Meaning {
        match (&*self.code, self.status.as_u16()) {
            ("XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded" | "StorageFull", _)
            | (_, 507) => Meaning::Full,
            (
                "SlowDown" | "InternalError" | "RequestTimeout" | "ServiceUnavailable" | "OperationAborted"
                | "ServerBusy" | "OperationTimedOut",
                _,
            )
            | (_, 408 | 429 | 500 | 502..=504) => Meaning::Unavailable,
            (_, 401 | 403) => Meaning::Denied,
            _ => Meaning::Other,
        }
    }

    /// In the words of `object_store`, which tries again what was never done.
    pub(super) fn retry_as(&self) -> HttpErrorKind {
        if self.meaning() == Meaning::Unavailable { HttpErrorKind::Request } else { HttpErrorKind::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No &amp; no</Message><AWSAccessKeyId>AKID</AWSAccessKeyId></Error>"
        );
        match Answer::read(status, body.as_bytes()) {
            Answer::Refused(refusal) => refusal,
            _ => panic!("{status} {code} is a refusal"),
        }
    }

    #[test]
    fn codes_and_statuses_decide_what_a_refusal_means() {
        for (status, code, meaning) in [
            (403, "SignatureDoesNotMatch", Meaning::Denied),
            (503, "SlowDown", Meaning::Unavailable),
            (400, "RequestTimeout", Meaning::Unavailable),
            (200, "InternalError", Meaning::Unavailable),
            (507, "", Meaning::Full),
            (403, "QuotaExceeded", Meaning::Full),
            (404, "NoSuchBucket", Meaning::Other),
            (404, "ContainerNotFound", Meaning::Other),
            (503, "ServerBusy", Meaning::Unavailable),
            (501, "NotImplemented", Meaning::Other),
        ] {
            assert_eq!(refused(status, code).meaning(), meaning, "{status} {code}");
        }
    }

    #[test]
    fn a_refusal_repeats_code_and_message_but_not_the_access_key() {
        let text = refused(403, "InvalidAccessKeyId").to_string();
        assert_eq!(text, "the store answered 403 Forbidden: InvalidAccessKeyId: No & no");
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let body = "\u{feff}<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>";
        let Answer::Refused(refusal) = Answer::read(StatusCode::FORBIDDEN, body.as_bytes()) else { panic!() };
        assert_eq!(refusal.code, "AuthenticationFailed");
    }

    #[test]
    fn an_answer_that_is_no_xml_is_told_by_its_status() {
        let Answer::Refused(refusal) = Answer::read(StatusCode::BAD_GATEWAY, b"<html>nginx</html>") else {
            panic!()
        };
        assert_eq!(refusal.to_string(), "the store answered 502 Bad Gateway");
        assert!(matches!(Answer::read(StatusCode::NOT_FOUND, b""), Answer::Known(_)));
    }
}
