//! Messages in the frames of gRPC: one byte that says whether it is compressed, four of length.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;

const HEADER: usize = 5;
/// The longest message that is accepted. etcd's own limit of a request is 1.5 MiB, and pages and
/// fragments keep answers near that.
const LONGEST: usize = 32 * 1024 * 1024;

/// What is no frame, or holds no such message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a message of {0} bytes, which is more than {LONGEST}")]
    Long(usize),
    #[error("a compressed message, which was not asked for")]
    Compressed,
    #[error("a message that cannot be decoded: {0}")]
    Message(#[from] prost::DecodeError),
}

/// A message in its frame.
pub(super) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEADER + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put(message.encode_to_vec().as_slice());
    frame.freeze()
}

/// Takes the next whole message from what has arrived; `None` if it has not arrived wholly.
pub(super) fn decode<M: Message + Default>(arrived: &mut BytesMut) -> Result<Option<M>, Malformed> {
    let Some((header, rest)) = arrived.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [compressed, length @ ..] = *header;
    if compressed != 0 {
        return Err(Malformed::Compressed);
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(Malformed::Long(length));
    }
    if rest.len() < length {
        return Ok(None);
    }
    arrived.advance(HEADER);
    Ok(Some(M::decode(arrived.split_to(length).freeze())?))
}

/// The text of a `grpc-message` header: bytes that a header may not hold are written as `%e4`.
pub(super) fn text(header: &str) -> String {
    let mut bytes = Vec::with_capacity(header.len());
    let mut rest = header.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *byte == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::etcd::wire::LeaseGrantRequest;

    #[test]
    fn messages_are_read_however_they_arrive() {
        let (one, two) = (LeaseGrantRequest { ttl: 5, id: 300 }, LeaseGrantRequest::default());
        let sent = [encode(&one), encode(&two)].concat();
        let mut arrived = BytesMut::new();
        let mut read = Vec::new();
        for byte in sent {
            arrived.put_u8(byte);
            read.extend(decode::<LeaseGrantRequest>(&mut arrived).unwrap());
        }
        assert_eq!((read, arrived.len()), (vec![one, two], 0));
    }

    #[test]
    fn what_no_member_sends_is_refused() {
        let read = |bytes: &[u8]| decode::<LeaseGrantRequest>(&mut BytesMut::from(bytes));
        assert_eq!(read(&[1, 0, 0, 0, 0]), Err(Malformed::Compressed));
        assert_eq!(read(&[0, 255, 0, 0, 0]), Err(Malformed::Long(0xff00_0000)));
        assert!(matches!(read(&[0, 0, 0, 0, 1, 0x0f]), Err(Malformed::Message(_))));
        assert_eq!(read(&[0, 0, 0, 0, 9, 1]), Ok(None));
    }

    #[test]
    fn escaped_messages_are_shown_as_text() {
        assert_eq!(text("etcdserver: permission denied"), "etcdserver: permission denied");
        assert_eq!(text("50%25 of caf%C3%A9 %zz%4"), "50% of café %zz%4");
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode::<LeaseGrantRequest>(&mut BytesMut::from(&bytes[..]));
            text(&String::from_utf8_lossy(&bytes));
        }
    }
}
