//! [`Federation`](crate::federation::Federation) over HTTPS.

mod mixed;
