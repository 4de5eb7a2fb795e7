//! What types of 32 bytes have in common.

/// 32 bytes as 64 lower-case hex characters, where a text is wanted for a moment: nothing is allocated.
pub struct Hex([u8; 64]);

impl Hex {
    pub(crate) fn of(bytes: &[u8; 32]) -> Self {
        let mut hex = [0; 64];
        data_encoding::HEXLOWER.encode_mut(bytes, &mut hex);
        Self(hex)
    }
}

impl std::ops::Deref for Hex {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex is ASCII")
    }
}

/// Gives a tuple struct of 32 bytes its ways in and out, and a short form for logs.
macro_rules! bytes32 {
    ($name:ident) => {
        impl $name {
            /// Takes the 32 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Returns them as 64 lower-case hex characters.
            #[must_use]
            pub fn hex(&self) -> $crate::asset::Hex {
                $crate::asset::Hex::of(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let short = data_encoding::HEXLOWER.encode(&self.0[..5]);
                write!(f, concat!(stringify!($name), "({})"), short)
            }
        }
    };
}

/// The same, and 64 hex characters as text; another text is the error that is named.
macro_rules! hex32 {
    ($name:ident, $error:ident) => {
        $crate::asset::bytes32!($name);

        impl $name {
            /// Returns the first ten hex characters, for logs and narrow columns.
            #[must_use]
            pub fn fmt_short(&self) -> String {
                data_encoding::HEXLOWER.encode(&self.0[..5])
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.hex())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| $error)?;
                Ok(Self(bytes.try_into().map_err(|_| $error)?))
            }
        }
    };
}

pub(crate) use bytes32;
pub(super) use hex32;
