//! Taking in what the service shows: new assets, changes by people, assets that are gone.

use super::FollowError;
use super::ServiceError;
use super::Shared;
use super::convert;
use super::table;
use super::table::Entry;
use super::view;
use super::view::Mirror;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::ContentDigest;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::proto::can::v1;
use crate::store::Arrival;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::Record;
use crate::task::now_ms;

/// One asset as the service shows it.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) key: AssetKey,
    pub(super) metadata: Metadata,
    pub(super) version: Vec<u8>,
}

/// What a sweep came to.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Where the next listing begins.
    pub(super) cursor: u64,
    /// Assets whose content must be read before they are shown.
    pub(super) unread: Vec<AssetId>,
    /// Known assets that could not be looked at, to be tried again at a later time.
    pub(super) put_off: Vec<AssetId>,
}

impl Shared {
    /// Reads the metadata of one asset; `None` when it is not there.
    pub(super) async fn read(&self, id: &AssetId) -> Result<Option<Shown>, ServiceError> {
        self.noted(self.heads(&[*id]).await).map(|mut there| there.pop())
    }

    /// Reads the metadata of assets in one answer; those that are not there are left out.
    pub(super) async fn heads(&self, ids: &[AssetId]) -> Result<Vec<Shown>, ServiceError> {
        self.client.heads(ids).await?.into_iter().map(shown).collect()
    }

    /// Lists everything, and takes in all differences but new contents.
    pub(super) async fn sweep(&self) -> Result<Swept, FollowError> {
        let before = self.index.read(table::ids_here).await?;
        let mut listed = vec![false; before.len()];
        let mut gone_bad = self.unreadable.lock().ids();
        let mut swept = Swept::default();
        loop {
            let page = self.noted(self.client.hashes(swept.cursor).await)?;
            for held in page.assets.iter().filter(|held| !held.missing) {
                let Ok(id) = convert::id(&held.hash) else { continue };
                gone_bad.remove(&id);
                if let Ok(at) = before.binary_search(&id) {
                    listed[at] = true;
                }
            }
            self.compare(&page.assets, &mut swept).await?;
            if !page.more || page.cursor <= swept.cursor {
                swept.cursor = swept.cursor.max(page.cursor);
                break;
            }
            swept.cursor = page.cursor;
        }
        gone_bad.iter().for_each(|id| self.unreadable.lock().forget(id));
        let gone: Vec<AssetId> =
            before.iter().zip(&listed).filter(|(_, listed)| !**listed).map(|(id, _)| *id).collect();
        swept.put_off.extend(self.look(&gone).await?.put_off);
        Ok(swept)
    }

    /// Lists what arrived behind a cursor, takes in the differences, and returns the next cursor.
    pub(super) async fn poll(&self, cursor: u64) -> Result<Swept, FollowError> {
        let mut swept = Swept { cursor, ..Swept::default() };
        loop {
            let page = self.noted(self.client.hashes(swept.cursor).await)?;
            if page.latest < swept.cursor {
                tracing::warn!("the can service was set up anew and is listed from its beginning");
                return self.sweep().await;
            }
            self.compare(&page.assets, &mut swept).await?;
            let moved = page.cursor > swept.cursor;
            swept.cursor = swept.cursor.max(page.cursor);
            if !page.more || !moved {
                return Ok(swept);
            }
        }
    }

    /// Compares listed assets with what is known, takes in what differs, and adds those to be read, and those that could
    /// not be looked at.
    async fn compare(&self, listed: &[v1::Listed], swept: &mut Swept) -> Result<(), FollowError> {
        let mut ids = Vec::with_capacity(listed.len());
        for row in listed {
            match convert::key(&row.hash, row.timestamp, row.size) {
                Ok(key) => ids.push((key.id, row.version.to_vec(), row.missing)),
                Err(error) => tracing::warn!(%error, "the can service lists something that is no asset"),
            }
        }
        let sorted = self.index.read(move |connection| {
            let (mut stale, mut unread) = (Vec::new(), Vec::new());
            for (id, version, missing) in ids {
                match table::get(connection, &id)? {
                    Some(entry) if entry.record.presence == Presence::Here => {
                        if missing || version.is_empty() || entry.version != version || entry.waiting {
                            stale.push(id);
                        }
                    }
                    _ if missing => {}
                    // Without a version nothing tells whether it is still what it was.
                    Some(entry)
                        if entry.record.presence == Presence::Quarantined
                            && entry.version == version
                            && !version.is_empty() => {}
                    Some(_) => unread.push((id, version)),
                    None => match table::purged(connection, &id)? {
                        Some(purged) if purged == version && !version.is_empty() => {}
                        // Its metadata tells whether it still lies in the trash there.
                        Some(_) => stale.push(id),
                        None => unread.push((id, version)),
                    },
                }
            }
            Ok((stale, unread))
        });
        let (stale, unread) = sorted.await?;
        let looked = self.look(&stale).await?;
        swept.put_off.extend(looked.put_off);
        let mut unreadable = self.unreadable.lock();
        unread.iter().for_each(|(id, version)| unreadable.listed(id, version));
        let unread = unread.into_iter().map(|(id, _)| id).chain(looked.unknown);
        swept.unread.extend(unread.filter(|id| !unreadable.rests(id)));
        Ok(())
    }

    /// Takes in how a known asset is shown now. The caller holds the asset's lock. `finished` says that a write was
    /// answered, and that this is what it came to.
    pub(super) async fn take_in(&self, seen: Shown, finished: bool) -> Result<(), FollowError> {
        let (host, now) = (self.host, now_ms());
        let id = seen.key.id;
        let left_out = self.index.write(move |writing| {
            let Some(mut entry) = table::get(writing.connection, &seen.key.id)? else { return Ok(Vec::new()) };
            let before = entry.record.document.clone();
            let (changes, left_out) = entry.mirror.take_in(seen.metadata, &before, finished);
            entry.record.document.change(&changes, now, host);
            entry.version = seen.version;
            entry.waiting = entry.mirror.settle(&entry.record.document.metadata());
            if entry.record.document == before {
                table::put(writing.connection, &entry)?;
            } else {
                table::arrive(writing, &mut entry)?;
            }
            Ok(left_out)
        });
        for field in left_out.await? {
            tracing::warn!(asset = %id, field, "too large to be shared, it stays at the can service");
        }
        Ok(())
    }

    /// Notes that a known asset is no longer at the service. The caller holds the asset's lock.
    pub(super) async fn gone(&self, id: &AssetId) -> Result<(), FollowError> {
        let id = *id;
        let lost = self.index.write(move |writing| {
            let Some(mut entry) = table::get(writing.connection, &id)? else { return Ok(false) };
            if !entry.record.presence.is_here() {
                return Ok(false);
            }
            if entry.mirror.shown.trashed {
                table::remove(writing.connection, &id)?;
                // Followers wake and find no record.
                writing.arrive()?;
                return Ok(false);
            }
            entry.record.presence = Presence::Missing;
            table::arrive(writing, &mut entry)?;
            Ok(true)
        });
        if lost.await? {
            tracing::error!(asset = %id, "the can service has lost an asset that was not in the trash");
        }
        Ok(())
    }

    /// Shows an asset whose content was verified: a new one, one that came back, or one that was handed over before a
    /// crash.
    pub(super) async fn show(&self, seen: Shown, content: ContentDigest) -> Result<(), FollowError> {
        let id = seen.key.id;
        let _turn = self.lock(&id).await;
        let (host, now) = (self.host, now_ms());
        let left_out = self.index.write(move |writing| {
            let connection = writing.connection;
            if table::purged(connection, &id)?.is_some() {
                if seen.metadata.trashed {
                    table::put_purged(connection, &id, &seen.version)?;
                    return Ok(Vec::new());
                }
                table::remove_purged(connection, &id)?;
            }
            let mut left_out = Vec::new();
            let mut entry = match (table::get(connection, &id)?, table::intent(connection, &id)?) {
                (Some(mut known), _) => {
                    if known.record.presence.is_here() {
                        return Ok(Vec::new());
                    }
                    let document = known.record.document.clone();
                    let (changes, out) = known.mirror.take_in(seen.metadata, &document, false);
                    known.record.document.change(&changes, now, host);
                    left_out = out;
                    known
                }
                (None, Some((document, origin))) => {
                    let told = document.metadata();
                    entry(&seen, content, document, origin, Mirror { told, ..Mirror::seen(seen.metadata.clone()) })
                }
                (None, None) => {
                    let wishes = convert::wishes(&seen.metadata);
                    let (fits, out) = view::fitting(&wishes, &LocalDocument::default());
                    left_out = out.iter().map(|name| view::shortened(name)).collect();
                    let mut document = LocalDocument::default();
                    document.see(&fits);
                    let told = document.metadata();
                    let mirror = Mirror::seen(seen.metadata.clone());
                    let mirror = Mirror { told, left_out: left_out.iter().cloned().collect(), ..mirror };
                    entry(&seen, content, document, Origin::Here, mirror)
                }
            };
            table::remove_intent(connection, &id)?;
            entry.record.presence = Presence::Here;
            entry.version = seen.version;
            entry.waiting = entry.mirror.settle(&entry.record.document.metadata());
            table::arrive(writing, &mut entry)?;
            Ok(left_out)
        });
        for field in left_out.await? {
            tracing::warn!(asset = %id, field, "too large to be shared, it stays at the can service");
        }
        Ok(())
    }
}

/// Makes the entry of an asset that is here.
pub(super) fn entry(
    seen: &Shown,
    content: ContentDigest,
    document: LocalDocument,
    origin: Origin,
    mirror: Mirror,
) -> Entry {
    let record =
        Record { key: seen.key, content, document, origin, presence: Presence::Here, arrival: Arrival::default() };
    Entry { record, mirror, version: seen.version.clone(), waiting: false }
}

pub(super) fn shown(asset: v1::Asset) -> Result<Shown, ServiceError> {
    let key = convert::key(&asset.hash, asset.timestamp, asset.size);
    let key = key.map_err(|source| ServiceError::Malformed { call: "/sync/pull", source: source.into() })?;
    let metadata = convert::from_wire(asset.metadata.unwrap_or_default());
    Ok(Shown { key, metadata, version: asset.version.to_vec() })
}
