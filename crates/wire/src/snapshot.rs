//! A state of the store as a byte stream, in bounded frames, and back.
//!
//! The writer hands out one frame after the other and never holds more than one; the reader takes
//! the stream in pieces of any size. Checksums, sealing and files are not its business.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use store::{Image, ImageItem, LoadError, Object, State};
use types::network::Network;
use types::service::{Endpoint, ServiceSpec};
use types::{ClusterId, Driver, NetworkId, Service, ServiceId, Task};

use crate::record::{self, RecordError, Shared};
use crate::swarm::v1::{self, snapshot_frame::Frame, snapshot_item::Item};

/// It rises when an older manager could misread a snapshot.
const FORMAT: u8 = 1;

/// What every stream begins with; the last byte is the format.
const MAGIC: [u8; 8] = [b's', b'w', b'a', b'r', b'm', b's', b'n', FORMAT];

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Bytes of the tag before each item of a frame.
const TAG_BYTES: usize = 1;

/// Bytes after which a frame is closed: small against a manager's memory, large against the cost
/// of a message.
pub const FRAME_BYTES: usize = 256 * 1024;

/// Largest frame that is read. A frame exceeds [`FRAME_BYTES`] by one object at most, and no
/// object may be larger than a log entry; a service carries two specs.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a snapshot says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Version of the tables.
    pub version: u64,
    /// Feature level that all managers had agreed on.
    pub feature_level: u32,
    /// The cluster, once its object exists.
    pub cluster: Option<ClusterId>,
}

/// Why a stream is no snapshot that this version can load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The stream does not begin like a snapshot.
    #[error("this is no snapshot: it begins with other bytes")]
    Magic,
    /// The stream was written by a newer version.
    #[error("the snapshot has format {found}, this version reads {FORMAT}: upgrade this manager")]
    Format {
        /// Its format.
        found: u8,
    },
    /// A frame is larger than any that is written.
    #[error("the snapshot is corrupt: a frame of {0} bytes, {FRAME_BYTES_MAX} is the most")]
    FrameSize(usize),
    /// A frame cannot be decoded.
    #[error("the snapshot is corrupt: {0}")]
    Corrupt(String),
    /// A frame or item is of a kind, or has a field, that this version does not know.
    #[error("the snapshot holds what this version does not know: upgrade this manager")]
    Unknown,
    /// Frames are not in the order header, items, end.
    #[error("the snapshot is corrupt: its frames are out of order")]
    Order,
    /// The stream ended early, or frames are missing.
    #[error("the snapshot is cut: {found} items are there")]
    Cut {
        /// Items that were read.
        found: u64,
    },
    /// An item cannot be read.
    #[error("item {index} of the snapshot cannot be read: {source}")]
    Item {
        /// Place of the item in the stream.
        index: u64,
        /// Why.
        source: RecordError,
    },
    /// The items do not make a state.
    #[error("the snapshot is corrupt: {0}")]
    Load(#[from] LoadError),
}

/// Writes a state, frame by frame.
pub struct Writer<'a> {
    items: Box<dyn Iterator<Item = ImageItem> + Send + 'a>,
    revisions: BTreeMap<(ServiceId, u64), Arc<ServiceSpec>>,
    next: Next,
    written: u64,
    pending: Option<v1::SnapshotItem>,
}

enum Next {
    Header(v1::SnapshotHeader),
    Items,
    Done,
}

impl<'a> Writer<'a> {
    /// A writer of a state, which may be a clone made in O(1).
    pub fn new(state: &'a State) -> Self {
        let cluster = state.cluster();
        Self {
            items: Box::new(state.image()),
            revisions: BTreeMap::new(),
            next: Next::Header(v1::SnapshotHeader {
                version: state.version(),
                feature_level: cluster.map_or(0, |c| c.feature_level),
                cluster_id: cluster.map_or_else(Bytes::new, |c| record::id_bytes(c.id.to_bytes())),
            }),
            written: 0,
            pending: None,
        }
    }

    fn next_item(&mut self) -> Option<v1::SnapshotItem> {
        if let Some(item) = self.pending.take() {
            return Some(item);
        }
        let item = match self.items.next()? {
            ImageItem::Object(object) => {
                let revisions = &self.revisions;
                Item::Object(record::object_with(&object, |task| {
                    is_kept(revisions, task)
                }))
            }
            ImageItem::Revision {
                service,
                version,
                spec,
            } => {
                let record = Item::Revision(v1::RevisionRecord {
                    service_id: record::id_bytes(service.to_bytes()),
                    version,
                    spec: Some((&*spec).into()),
                });
                self.revisions.insert((service, version), spec);
                record
            }
        };
        Some(v1::SnapshotItem { item: Some(item) })
    }

    /// Items up to the size of a frame; none when there are no more.
    fn next_items(&mut self) -> Vec<v1::SnapshotItem> {
        let mut items = Vec::new();
        let mut bytes = 0;
        while let Some(item) = self.next_item() {
            let length = item.encoded_len();
            bytes += TAG_BYTES + prost::length_delimiter_len(length) + length;
            if bytes > FRAME_BYTES && !items.is_empty() {
                self.pending = Some(item);
                break;
            }
            items.push(item);
        }
        self.written += items.len() as u64;
        items
    }
}

fn is_kept(revisions: &BTreeMap<(ServiceId, u64), Arc<ServiceSpec>>, task: &Task) -> bool {
    let Some(spec) = task
        .service_id
        .zip(task.spec_version)
        .and_then(|key| revisions.get(&key))
    else {
        return false;
    };
    Arc::ptr_eq(spec, &task.service_spec) || **spec == *task.service_spec
}

impl Iterator for Writer<'_> {
    type Item = Bytes;

    /// The next piece of the stream: one whole frame, the first one with what precedes it.
    fn next(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.next, Next::Items) {
            Next::Header(header) => Some(frame(&MAGIC, Frame::Header(header))),
            Next::Items => {
                let items = self.next_items();
                if !items.is_empty() {
                    return Some(frame(&[], Frame::Items(v1::SnapshotItems { items })));
                }
                self.next = Next::Done;
                Some(frame(
                    &[],
                    Frame::End(v1::SnapshotEnd {
                        items: self.written,
                    }),
                ))
            }
            Next::Done => {
                self.next = Next::Done;
                None
            }
        }
    }
}

fn frame(prefix: &[u8], frame: Frame) -> Bytes {
    let message = v1::SnapshotFrame { frame: Some(frame) };
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(prefix.len() + LENGTH_BYTES + length);
    out.put_slice(prefix);
    // An object is far smaller than 4 GiB; a frame that is too large is refused on reading.
    out.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut out);
    out.freeze()
}

/// Reads a stream that is fed piece by piece.
#[derive(Default)]
pub struct Reader {
    buffer: BytesMut,
    begun: bool,
    header: Option<Header>,
    image: Image,
    shared: SharedParts,
    items: u64,
    ended: bool,
}

impl Reader {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the snapshot says about itself, as soon as that has been read.
    pub fn header(&self) -> Option<Header> {
        self.header
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// When the stream is not what this version writes. The reader is of no use after that.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        self.buffer.extend_from_slice(piece);
        if !self.begun {
            let Some(magic) = self.buffer.first_chunk::<{ MAGIC.len() }>() else {
                return Ok(());
            };
            check_magic(magic)?;
            self.buffer.advance(MAGIC.len());
            self.begun = true;
        }
        while let Some(frame) = self.next_frame()? {
            self.read_frame(frame)?;
        }
        Ok(())
    }

    /// The state, once the whole stream was fed.
    ///
    /// # Errors
    ///
    /// When the stream ended too early.
    pub fn finish(self) -> Result<State, SnapshotError> {
        let cut = SnapshotError::Cut { found: self.items };
        match self.header {
            Some(header) if self.ended && self.buffer.is_empty() => {
                Ok(self.image.finish(header.version))
            }
            _ => Err(cut),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(SnapshotError::FrameSize(length));
        }
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    fn read_frame(&mut self, bytes: Bytes) -> Result<(), SnapshotError> {
        let length = bytes.len();
        let decoded = v1::SnapshotFrame::decode(bytes);
        let frame = decoded.map_err(|e| SnapshotError::Corrupt(e.to_string()))?;
        // A difference is something that was skipped as unknown.
        if frame.encoded_len() != length {
            return Err(SnapshotError::Unknown);
        }
        match frame.frame.ok_or(SnapshotError::Unknown)? {
            Frame::Header(header) if self.header.is_none() => {
                self.header = Some(read_header(&header)?);
            }
            Frame::Items(frame) if self.header.is_some() && !self.ended => {
                frame
                    .items
                    .into_iter()
                    .try_for_each(|item| self.read_item(item))?;
            }
            Frame::End(end) if self.header.is_some() && !self.ended => {
                if end.items != self.items {
                    return Err(SnapshotError::Cut { found: self.items });
                }
                self.ended = true;
            }
            _ => return Err(SnapshotError::Order),
        }
        Ok(())
    }

    fn read_item(&mut self, item: v1::SnapshotItem) -> Result<(), SnapshotError> {
        let index = self.items;
        let item = match item.item.ok_or(SnapshotError::Unknown)? {
            Item::Object(object) => self.shared.object(object),
            Item::Revision(revision) => self.shared.revision(revision),
        };
        self.image
            .add(item.map_err(|source| SnapshotError::Item { index, source })?)?;
        self.items += 1;
        Ok(())
    }
}

fn check_magic(magic: &[u8; MAGIC.len()]) -> Result<(), SnapshotError> {
    let format = magic.len() - 1;
    if magic[..format] != MAGIC[..format] {
        return Err(SnapshotError::Magic);
    }
    if magic[format] != MAGIC[format] {
        return Err(SnapshotError::Format {
            found: magic[format],
        });
    }
    Ok(())
}

fn read_header(header: &v1::SnapshotHeader) -> Result<Header, SnapshotError> {
    let cluster = if header.cluster_id.is_empty() {
        None
    } else {
        let id = record::id("cluster_id", &header.cluster_id, ClusterId::from_bytes);
        Some(id.map_err(|source| SnapshotError::Item { index: 0, source })?)
    };
    Ok(Header {
        version: header.version,
        feature_level: header.feature_level,
        cluster,
    })
}

/// What many records of one stream have in common, so that memory holds it once.
#[derive(Default)]
struct SharedParts {
    revisions: BTreeMap<(ServiceId, u64), Arc<ServiceSpec>>,
    endpoints: BTreeMap<ServiceId, Arc<Endpoint>>,
    log_drivers: BTreeMap<ServiceId, Arc<Driver>>,
    networks: BTreeMap<(NetworkId, u64), Arc<Network>>,
}

impl SharedParts {
    fn object(&mut self, record: v1::ObjectRecord) -> Result<ImageItem, RecordError> {
        let mut object = record::read_object(record, self)?;
        if let Object::Service(service) = &mut object {
            self.share_specs(Arc::make_mut(service));
        }
        Ok(ImageItem::Object(object))
    }

    fn share_specs(&self, service: &mut Service) {
        let share = |spec: &mut Arc<ServiceSpec>, version: u64| {
            if let Some(kept) = self.revisions.get(&(service.id, version))
                && **kept == **spec
            {
                spec.clone_from(kept);
            }
        };
        share(&mut service.spec, service.spec_version);
        if let (Some(spec), Some(version)) =
            (&mut service.previous_spec, service.previous_spec_version)
        {
            share(spec, version);
        }
    }

    fn revision(&mut self, record: v1::RevisionRecord) -> Result<ImageItem, RecordError> {
        let service = record::id(
            "revision.service_id",
            &record.service_id,
            ServiceId::from_bytes,
        )?;
        let spec = record.spec.ok_or(RecordError::Unknown("revision.spec"))?;
        let spec = Arc::new(ServiceSpec::try_from(spec)?);
        self.revisions
            .insert((service, record.version), Arc::clone(&spec));
        Ok(ImageItem::Revision {
            service,
            version: record.version,
            spec,
        })
    }
}

impl Shared for SharedParts {
    fn spec(&self, record: &v1::TaskRecord) -> Option<Arc<ServiceSpec>> {
        let service = ServiceId::from_bytes(&record.service_id)?;
        self.revisions
            .get(&(service, record.spec_version?))
            .cloned()
    }

    fn share(&mut self, task: &mut Task) {
        // Nobody shares what was just read.
        for attachment in Arc::get_mut(&mut task.networks).into_iter().flatten() {
            let network = &attachment.network;
            let key = (network.id, network.meta.version);
            share_in(&mut self.networks, key, &mut attachment.network);
        }
        let Some(service) = task.service_id else {
            return;
        };
        if let Some(endpoint) = &mut task.endpoint {
            share_in(&mut self.endpoints, service, endpoint);
        }
        if let Some(driver) = &mut task.log_driver {
            share_in(&mut self.log_drivers, service, driver);
        }
    }
}

/// Replaces a value by the equal one seen before under the same key, or remembers it.
fn share_in<K: Ord, V: PartialEq>(seen: &mut BTreeMap<K, Arc<V>>, key: K, value: &mut Arc<V>) {
    match seen.entry(key) {
        Entry::Occupied(mut kept) if **kept.get() == **value => value.clone_from(kept.get_mut()),
        Entry::Occupied(mut kept) => {
            kept.insert(Arc::clone(value));
        }
        Entry::Vacant(free) => {
            free.insert(Arc::clone(value));
        }
    }
}
