//! Query parameters.

use std::{borrow::Cow, str::FromStr, time::Duration};

use crate::respond::ApiError;

/// The specification's default for `timeout_ms`.
const DEFAULT_WAIT_MS: u64 = 20_000;

/// The first value of `name`, percent-decoded, `+` as a space.
pub(super) fn get<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// A number that must be there.
pub(super) fn required<T: FromStr>(query: &str, name: &str, accepted: &str) -> Result<T, ApiError> {
    let value = get(query, name).ok_or_else(|| ApiError::missing_param(name))?;
    value.parse().map_err(|_| ApiError::bad_param(name, accepted))
}

/// A number that is not negative, if given.
pub(super) fn number(query: &str, name: &str, accepted: &str) -> Result<Option<u64>, ApiError> {
    let number = get(query, name).map(|value| value.parse()).transpose();
    number.map_err(|_| ApiError::bad_param(name, accepted))
}

/// `true` or `false`, if given.
pub(super) fn boolean(query: &str, name: &str) -> Result<Option<bool>, ApiError> {
    match get(query, name).as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(ApiError::bad_param(name, "true or false")),
    }
}

/// How long the client is willing to wait for pending media. What is too much for a number is a long time; what is
/// negative is no time.
pub(super) fn wait(query: &str) -> Result<Duration, ApiError> {
    let Some(text) = get(query, "timeout_ms") else { return Ok(Duration::from_millis(DEFAULT_WAIT_MS)) };
    let (negative, digits) = text.strip_prefix('-').map_or((false, &*text), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ApiError::bad_param("timeout_ms", "a number of milliseconds"));
    }
    let ms = if negative { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_may_be_a_plus_or_percent_encoded() {
        assert_eq!(get("filename=a+b%20c%2B", "filename").as_deref(), Some("a b c+"));
    }

    #[test]
    fn absurd_waits_are_bounded_and_nonsense_is_refused() {
        assert_eq!(wait("").unwrap(), Duration::from_secs(20));
        assert_eq!(wait("timeout_ms=-5").unwrap(), Duration::ZERO);
        assert_eq!(wait("timeout_ms=99999999999999999999999").unwrap(), Duration::from_millis(u64::MAX));
        for value in ["", "x", "1.5", "-", "1e3"] {
            assert!(wait(&format!("timeout_ms={value}")).is_err(), "{value}");
        }
    }
}
