//! Settings that are one of a few words.

/// A value that configurations write as one of a few words.
pub trait Words: Copy + 'static {
    /// Every value, in the order in which the reference lists them.
    const ALL: &'static [Self];

    /// The word that stands for this value.
    fn word(self) -> &'static str;
}

/// Declares an enum together with the word for each of its values.
///
/// The words stand here only: decoder, JSON schema, reference and `Display` take them from
/// [`Words`].
macro_rules! words {
    ($(
        $(#[$meta:meta])+
        $visibility:vis enum $name:ident {
            $($(#[doc = $doc:literal])* $variant:ident = $word:literal,)+
        }
    )+) => {$(
        $(#[$meta])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[doc = $doc])* $variant,)+
        }

        impl $crate::model::Words for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::model::Words::word(*self))
            }
        }
    )+};
}
pub(crate) use words;
