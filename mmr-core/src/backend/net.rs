//! [`Federation`](crate::federation::Federation) over HTTPS.
