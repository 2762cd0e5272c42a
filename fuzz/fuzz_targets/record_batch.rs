//! No bytes make the batch header's parser or checksum panic, and what parses agrees with itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_model::batch::{BatchHeader, HEADER_BYTES, verify_crc};

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
});
