//! No bytes make the batch header's parser or checksum panic, nor whoever looks for references, and what
//! parses agrees with itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_model::{
    batch::{BatchHeader, HEADER_BYTES, verify_crc},
    reference,
};

fuzz_target!(|bytes: &[u8]| {
    let checksum = verify_crc(bytes);
    let Ok(header) = BatchHeader::parse(bytes) else {
        return;
    };
    assert!((HEADER_BYTES..=bytes.len()).contains(&header.size_bytes));
    assert!(header.offset_count() > u64::from(header.last_offset_delta));
    let whole = &bytes[..header.size_bytes];
    assert_eq!(BatchHeader::parse(whole), Ok(header));
    if bytes.len() == whole.len() {
        assert_eq!(verify_crc(whole), checksum);
    }
    if let Ok(found) = reference::references(whole)
        && found.iter().all(|each| each.length_bytes < 1 << 16)
    {
        let body = |each: reference::BodyReference| {
            let length = usize::try_from(each.length_bytes).expect("16 bits fit");
            Some(vec![0; length])
        };
        let made = reference::whole(whole, body).expect("each reference has its body");
        assert_eq!(reference::references(&made), Ok(Vec::new()));
        verify_crc(&made).expect("it was mended");
    }
});
