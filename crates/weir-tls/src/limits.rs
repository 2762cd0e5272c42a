//! What bounds certificates and what is read of them.

/// Longest file with certificates or keys, in bytes.
pub const MAX_PEM_FILE_BYTES: u64 = 1 << 20;
/// Most pairs of certificate and key in a directory.
pub const MAX_DIRECTORY_PAIRS_COUNT: usize = 256;
/// Most names that are read of a client's certificate; rustls bounds its size by 64 KiB.
pub const MAX_ALTERNATIVE_NAMES_COUNT: usize = 256;
/// Most rules that map names to principals.
pub const MAX_PRINCIPAL_RULES_COUNT: usize = 64;
/// Most bytes of a rule's pattern when compiled.
pub const MAX_RULE_COMPILED_BYTES: usize = 1 << 20;
/// Longest name that rules are tried on, in bytes.
pub const MAX_MAPPED_NAME_BYTES: usize = 4 << 10;
/// Sessions that clients may resume, remembered by one configuration.
pub const MAX_RESUMABLE_SESSIONS_COUNT: usize = 1_024;
