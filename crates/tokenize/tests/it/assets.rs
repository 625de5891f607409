//! Tokenizers out of public packages, where they were fetched.
