//! Headers of messages, with every byte of their names.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::ptr;

use rdkafka::message::BorrowedMessage;
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use crate::pure::record::Header;

/// # Safety
/// `data` is null, or points to `len` bytes that outlive `'a`.
pub(super) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: per this function's contract.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// How librdkafka keeps a header: its name, a zero, the value and a zero stand behind each other.
/// Its calls give a name as a C string, and a name that holds a zero would be cut there.
#[repr(C)]
struct NativeHeader {
    serialized_size: usize,
    value_size: usize,
    name_size: usize,
    value: *const c_void,
    name: [c_char; 1],
}

/// # Safety
/// `name` and `value` are what `rd_kafka_header_get_all` gave, and outlive `'a`.
unsafe fn header_name<'a>(name: *const c_char, value: *const c_void) -> &'a [u8] {
    let name: *const u8 = name.cast();
    // SAFETY: per this function's contract, `name` is inside of a header of librdkafka, which is
    // linked into the program in the version that the test below was made with.
    unsafe {
        let header: *const NativeHeader = name.sub(offset_of!(NativeHeader, name)).cast();
        let size = (&raw const (*header).name_size).read();
        debug_assert!(value.is_null() || name.add(size.wrapping_add(1)).cast() == value);
        std::slice::from_raw_parts(name, size)
    }
}

/// Calls `each` for each header.
///
/// # Safety
/// `headers` is valid, and outlives `'a`.
pub(super) unsafe fn each_header<'a>(
    headers: *const sys::rd_kafka_headers_t,
    mut each: impl FnMut(usize, Header<'a>),
) {
    for i in 0.. {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: per this function's contract; name and value belong to the headers.
        unsafe {
            let (n, v, s) = (&raw mut name, &raw mut value, &raw mut size);
            if sys::rd_kafka_header_get_all(headers, i, n, v, s) != Code::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                break;
            }
            each(i, (header_name(name, value), bytes(value, size)));
        }
    }
}

/// The headers of a message. The library's own way panics where a name is not UTF-8.
pub(super) fn headers_of<'m>(m: &'m BorrowedMessage<'_>) -> Vec<Header<'m>> {
    let (mut headers, mut all) = (ptr::null_mut(), Vec::new());
    // SAFETY: the message is valid for `'m`, and its headers belong to it.
    unsafe {
        if sys::rd_kafka_message_headers(m.ptr(), &raw mut headers)
            == Code::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            each_header(headers, |_, header| all.push(header));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_header_name_is_kept() {
        let want: [Header<'_>; 5] = [
            (b"trace\0id", Some(b"1")),
            (b"stra\xdfe", None),
            (b"\0", Some(b"")),
            (b"", None),
            (b"trace", Some(b"\0\0")),
        ];
        let mut got: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        // SAFETY: the headers are made here, and destroyed after their last use; librdkafka copies
        // names and values.
        unsafe {
            let headers = sys::rd_kafka_headers_new(8);
            for (name, value) in want {
                let (data, size) = value.map_or((ptr::null(), 0), |v| (v.as_ptr(), v.len()));
                let code = sys::rd_kafka_header_add(
                    headers,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    data.cast(),
                    size as isize,
                );
                assert_eq!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR);
            }
            each_header(headers, |i, (name, value)| {
                assert_eq!(i, got.len());
                got.push((name.to_vec(), value.map(<[u8]>::to_vec)));
            });
            sys::rd_kafka_headers_destroy(headers);
        }
        let want = want.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
        assert_eq!(got, want);
    }

    /// `org.apache.kafka.common.utils.Utils.murmur2`, by Kafka's own samples: a key lies where a
    /// Java producer would put it.
    #[test]
    fn the_partition_of_a_key_is_that_of_java() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            for partitions in [1, 2, 3, 12, 1_000] {
                // SAFETY: this partitioner looks at the key and the number alone.
                let got = unsafe {
                    let (key, len) = (key.as_ptr().cast(), key.len());
                    let (topic, opaque) = (ptr::null(), ptr::null_mut());
                    sys::rd_kafka_msg_partitioner_murmur2(
                        topic, key, len, partitions, opaque, opaque,
                    )
                };
                assert_eq!(got, (hash & i32::MAX) % partitions, "{key} of {partitions}");
            }
        }
    }
}
