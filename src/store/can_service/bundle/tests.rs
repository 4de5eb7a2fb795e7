//! The bundle against prost, both ways.

use std::convert::Infallible;

use futures_util::stream;
use proptest::prelude::*;

use super::*;
use crate::proto::can::v1::Bundle;
use crate::proto::can::v1::Metadata;

fn assets() -> impl Strategy<Value = Vec<Asset>> {
    let metadata = (
        proptest::option::of("[a-z/]{0,12}"),
        proptest::option::of(".{0,40}"),
        proptest::collection::vec("[a-zA-Z]{1,300}", 0..3),
        any::<bool>(),
    )
        .prop_map(|(mime_type, description, tags, trashed)| Metadata {
            mime_type,
            description,
            tags,
            trashed,
            ..Metadata::default()
        });
    let asset = (
        proptest::collection::vec(any::<u8>(), 0..33),
        any::<u64>(),
        proptest::option::of(metadata),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..400)),
    )
        .prop_map(|(hash, timestamp, metadata, content)| Asset {
            hash: hash.into(),
            timestamp,
            size: content.as_ref().map_or(0, |content| content.len() as u64),
            metadata,
            version: Bytes::new(),
            content: content.map(Bytes::from),
        });
    proptest::collection::vec(asset, 0..5)
}

fn by_prost(assets: &[Asset]) -> Vec<u8> {
    let count = u32::try_from(assets.len()).unwrap();
    Bundle { assets: assets.to_vec(), count: Some(count) }.encode_to_vec()
}

fn by_us(assets: &[Asset]) -> Vec<u8> {
    let mut out = Vec::new();
    for asset in assets {
        let head = Asset { content: None, ..asset.clone() };
        out.extend_from_slice(&begin_asset(&head, asset.content.as_ref().map(|content| content.len() as u64)));
        out.extend_from_slice(asset.content.as_deref().unwrap_or_default());
    }
    out.extend_from_slice(&end(u32::try_from(assets.len()).unwrap()));
    out
}

/// Reads a bundle that comes in pieces of `size` bytes.
fn read(bytes: &[u8], size: usize) -> Result<Vec<Asset>, BundleError> {
    let pieces: Vec<_> = bytes.chunks(size).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    let mut reader = Reader::new(stream::iter(pieces));
    futures_util::FutureExt::now_or_never(async move {
        let mut assets = Vec::new();
        while let Some(head) = reader.next().await? {
            let mut asset = head.asset;
            if head.content.is_some() {
                let mut content = Vec::new();
                while let Some(piece) = reader.content().await? {
                    content.extend_from_slice(&piece);
                }
                asset.content = Some(content.into());
            }
            assets.push(asset);
        }
        Ok(assets)
    })
    .expect("the source is always ready")
}

proptest! {
    #[test]
    fn prost_reads_what_we_write_and_we_read_what_prost_writes(assets in assets(), size in 1_usize..700) {
        let ours = by_us(&assets);
        prop_assert_eq!(&ours, &by_prost(&assets));
        prop_assert_eq!(&Bundle::decode(&ours[..]).unwrap().assets, &assets);
        prop_assert_eq!(&read(&ours, size).unwrap(), &assets);
    }

    #[test]
    fn a_bundle_cut_anywhere_is_an_error(assets in assets(), size in 1_usize..64) {
        let whole = by_us(&assets);
        for end in 0..whole.len() {
            prop_assert!(read(&whole[..end], size).is_err(), "cut at {} of {}", end, whole.len());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 1_usize..64) {
        let _ = read(&bytes, size);
    }
}

#[test]
fn a_length_that_lies_is_refused_before_anything_is_kept() {
    let mut whole = BytesMut::new();
    encode_key(ASSETS, WireType::LengthDelimited, &mut whole);
    encode_varint(u64::MAX / 2, &mut whole);
    encode_key(1, WireType::LengthDelimited, &mut whole);
    encode_varint(u64::MAX / 4, &mut whole);
    whole.extend_from_slice(&[0; 64]);
    assert!(matches!(read(&whole, 16), Err(BundleError::TooLarge { .. })));

    // Many fields of next to nothing are much, too.
    let mut many = BytesMut::new();
    encode_key(ASSETS, WireType::LengthDelimited, &mut many);
    encode_varint(u64::MAX / 2, &mut many);
    let fields = [0x10, 1].repeat(limits::BUNDLE_HEAD_BYTES);
    many.extend_from_slice(&fields);
    assert!(matches!(read(&many, 65_536), Err(BundleError::TooLarge { .. })));

    // A field may not be longer than its asset.
    let mut short = BytesMut::new();
    encode_key(ASSETS, WireType::LengthDelimited, &mut short);
    encode_varint(4, &mut short);
    encode_key(1, WireType::LengthDelimited, &mut short);
    encode_varint(200, &mut short);
    short.extend_from_slice(&[0; 300]);
    assert!(matches!(read(&short, 16), Err(BundleError::Malformed(_))));
}

#[test]
fn fields_of_a_later_version_are_skipped_and_nothing_may_follow_the_content() {
    let asset = Asset { hash: vec![1; 32].into(), content: Some(vec![2; 5].into()), ..Asset::default() };
    let mut later = BytesMut::new();
    encode_key(99, WireType::LengthDelimited, &mut later);
    encode_varint(3, &mut later);
    later.extend_from_slice(b"new");
    later.extend_from_slice(&by_prost(std::slice::from_ref(&asset)));
    assert_eq!(read(&later, 3).unwrap(), std::slice::from_ref(&asset));

    let mut body = asset.encode_to_vec();
    body.extend_from_slice(&[0x10, 0x01]);
    let mut behind = BytesMut::new();
    encode_key(ASSETS, WireType::LengthDelimited, &mut behind);
    encode_varint(body.len() as u64, &mut behind);
    behind.extend_from_slice(&body);
    behind.extend_from_slice(&end(1));
    assert!(matches!(read(&behind, 1000), Err(BundleError::Malformed(_))));
}
