//! A call of `grpc.health.v1.Health/Check`.
//!
//! The two messages have one field each, so they are coded by hand instead of generated.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Request,
    body::{Bytes, Incoming},
    client::conn::http2,
    header::{self, CONTENT_TYPE, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{failure::Failure, http::USER_AGENT};

/// The protocol, as failures name it.
const PROTOCOL: &str = "gRPC";
const METHOD: &str = "grpc.health.v1.Health/Check";
/// Maximum length of a response; valid ones are a few bytes long.
const LONGEST: usize = 4096;
/// Length of a frame's header: one byte that says whether it is compressed, four of length.
const FRAME_HEADER: usize = 5;
/// Tag of field 1 as a string.
const STRING_1: u8 = 0x0a;
/// Tag of field 1 as a number.
const NUMBER_1: u8 = 0x08;
const SERVING: u64 = 1;

/// Asks for the health of a service, or of the whole server.
pub(super) async fn ask<S>(stream: S, service: &str, host: &str) -> Result<String, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) =
        handshake.await.map_err(|error| Failure::protocol(PROTOCOL, &error))?;
    let request = Request::post(format!("http://{host}/{METHOD}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(header::USER_AGENT, USER_AGENT)
        .body(Full::new(question(service)))
        .map_err(|error| Failure::protocol(PROTOCOL, &error))?;
    let exchange = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| Failure::protocol(PROTOCOL, &error))?;
        read(answer).await
    };
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // If the connection ends first, the pending exchange returns the error.
        _ = &mut connection => exchange.await,
    }
}

async fn read(answer: hyper::Response<Incoming>) -> Result<String, Failure> {
    let (head, body) = answer.into_parts();
    if head.status != hyper::StatusCode::OK {
        let cause = format!("HTTP {}", head.status.as_u16());
        return Err(Failure::Protocol { protocol: PROTOCOL, cause });
    }
    // A response without a message has its status in the headers.
    check_status(&head.headers)?;
    let body = Limited::new(body, LONGEST).collect().await;
    let body = body.map_err(|error| Failure::protocol(PROTOCOL, error.as_ref()))?;
    if let Some(trailers) = body.trailers() {
        check_status(trailers)?;
    }
    match status(&body.to_bytes()) {
        Some(SERVING) => Ok("gRPC SERVING".to_owned()),
        Some(2) => Err(Failure::NotServing("NOT_SERVING")),
        Some(3) => Err(Failure::NotServing("SERVICE_UNKNOWN")),
        Some(_) => Err(Failure::NotServing("UNKNOWN")),
        None => {
            let cause = "invalid message".to_owned();
            Err(Failure::Protocol { protocol: PROTOCOL, cause })
        }
    }
}

fn check_status(headers: &HeaderMap) -> Result<(), Failure> {
    let status = headers.get("grpc-status").and_then(|status| status.to_str().ok());
    match status.map(str::parse) {
        None | Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(Failure::Grpc { code }),
        Some(Err(_)) => Err(Failure::Grpc { code: 2 }),
    }
}

/// `HealthCheckRequest { service }` as a frame.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(STRING_1);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(low_bits(length) | 0x80);
            length >>= 7;
        }
        message.push(low_bits(length));
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    frame.into()
}

fn low_bits(number: usize) -> u8 {
    (number & 0x7f) as u8
}

/// The status in a frame with a `HealthCheckResponse { status }`. Unknown fields are skipped.
fn status(frame: &[u8]) -> Option<u64> {
    let (header, rest) = frame.split_at_checked(FRAME_HEADER)?;
    let (compressed, length) = header.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let mut message = rest.get(..usize::try_from(length).ok()?)?;
    if *compressed != 0 {
        return None;
    }
    let mut status = 0;
    while let Some(tag) = message.first().copied() {
        let number = varint(&mut message)?;
        match number & 7 {
            0 => {
                let value = varint(&mut message)?;
                if tag == NUMBER_1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_are_as_the_protocol_says() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("db")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        let long = question(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
    }

    #[test]
    fn unknown_fields_are_skipped() {
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(status(&[0, 0, 0, 0, 8, 0x12, 2, 9, 9, 8, 2, 0x18, 1]), Some(2));
        for damaged in
            [&[][..], &[0, 0, 0, 0, 3, 8, 1], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 1, 8]]
        {
            assert_eq!(status(damaged), None, "{damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut frame = vec![0];
            frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
            frame.extend(&bytes);
            status(&frame);
            status(&bytes);
        }
    }
}
