//! Snapshots: nothing lost, frames bounded, equal parts shared, damage noticed.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use store::{Image, ImageItem, Object, State};
use types::{Annotations, Service, ServiceId, ServiceSpec, Task, TaskId};

use crate::snapshot::{FRAME_BYTES, Reader, SnapshotError, Writer};
use crate::testgen::Gen;

/// A state with all kinds of objects; `tasks` tasks share one revision.
fn state(seed: u64, tasks: usize) -> State {
    let mut g = Gen::new(seed);
    let service = g.service();
    of_service(&mut g, service, tasks)
}

fn of_service(g: &mut Gen, service: Service, tasks: usize) -> State {
    let mut image = Image::new();
    let mut add = |item| image.add(item).unwrap();
    add(ImageItem::Revision {
        service: service.id,
        version: service.spec_version,
        spec: Arc::clone(&service.spec),
    });
    let shared = Task {
        service_id: Some(service.id),
        spec_version: Some(service.spec_version),
        service_spec: Arc::clone(&service.spec),
        ..g.task()
    };
    for _ in 0..tasks {
        let id = TaskId::random(g.entropy());
        add(ImageItem::Object(
            Task {
                id,
                ..shared.clone()
            }
            .into(),
        ));
    }
    let others: [Object; 10] = [
        g.cluster().into(),
        g.node().into(),
        service.into(),
        g.task().into(),
        g.network().into(),
        g.secret().into(),
        g.config().into(),
        g.volume().into(),
        g.extension().into(),
        g.resource().into(),
    ];
    others
        .into_iter()
        .for_each(|object| add(ImageItem::Object(object)));
    image.finish(g.number())
}

type Revisions = Vec<(ServiceId, u64, Arc<ServiceSpec>)>;

fn contents(state: &State) -> (Vec<Object>, Revisions) {
    let (mut objects, mut revisions) = (Vec::new(), Vec::new());
    for item in state.image() {
        match item {
            ImageItem::Object(object) => objects.push(object),
            ImageItem::Revision {
                service,
                version,
                spec,
            } => {
                revisions.push((service, version, spec));
            }
        }
    }
    (objects, revisions)
}

fn read(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<State, SnapshotError> {
    let mut reader = Reader::new();
    pieces
        .into_iter()
        .try_for_each(|piece| reader.feed(piece.as_ref()))?;
    reader.finish()
}

fn stream(state: &State) -> Vec<u8> {
    Writer::new(state).flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_state_reads_back_as_it_was_however_the_stream_is_cut_up(seed: u64, piece in 1..500usize) {
        let state = state(seed, 3);
        let loaded = read(stream(&state).chunks(piece)).unwrap();
        prop_assert_eq!(loaded.version(), state.version());
        prop_assert_eq!(contents(&loaded), contents(&state));
    }

    #[test]
    fn a_damaged_stream_never_panics(seed: u64, at: prop::sample::Index, with: u8) {
        let mut bytes = stream(&state(seed, 2));
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = read([bytes]);
    }

    #[test]
    fn a_stream_that_is_cut_is_never_loaded(seed: u64, at: prop::sample::Index) {
        let bytes = stream(&state(seed, 2));
        let cut = &bytes[..at.index(bytes.len())];
        let is_cut = matches!(read([cut]), Err(SnapshotError::Cut { .. }));
        prop_assert!(is_cut);
    }
}

#[test]
fn frames_stay_near_their_bound_and_lost_ones_are_noticed() {
    let state = state(5, 3000);
    let frames: Vec<Bytes> = Writer::new(&state).collect();
    assert!(frames.len() > 4, "{} frames", frames.len());
    assert!(frames.iter().all(|frame| frame.len() < FRAME_BYTES + 1024));
    for lost in 1..frames.len() {
        let rest = frames.iter().enumerate().filter(|(i, _)| *i != lost);
        assert!(
            read(rest.map(|(_, frame)| frame)).is_err(),
            "frame {lost} is lost"
        );
    }
    assert!(read(&frames).is_ok());
}

#[test]
fn tasks_of_one_revision_do_not_repeat_its_spec_and_share_it_again() {
    const SPEC_BYTES: usize = 100_000;
    let spec = ServiceSpec {
        annotations: Annotations::named("x".repeat(SPEC_BYTES)),
        ..ServiceSpec::default()
    };
    let with_tasks = |tasks| {
        let mut g = Gen::new(6);
        let mut service = g.service();
        service.spec = Arc::new(spec.clone());
        of_service(&mut g, service, tasks)
    };
    let (few, many) = (stream(&with_tasks(1)), stream(&with_tasks(11)));
    assert!(many.len() - few.len() < SPEC_BYTES);

    let loaded = read([many]).unwrap();
    let spec = &loaded.services().iter().next().unwrap().spec;
    let shares = |task: &&Arc<Task>| Arc::ptr_eq(&task.service_spec, spec);
    assert_eq!(loaded.tasks().iter().filter(shares).count(), 11);
}

#[test]
fn the_header_is_known_before_the_objects_are() {
    let state = state(7, 0);
    let first = Writer::new(&state).next().unwrap();
    let mut reader = Reader::new();
    assert_eq!(reader.header(), None);
    reader.feed(&first).unwrap();
    let header = reader.header().unwrap();
    let cluster = state.cluster().unwrap();
    assert_eq!(header.version, state.version());
    assert_eq!(header.cluster, Some(cluster.id));
    assert_eq!(header.feature_level, cluster.feature_level);
}

#[test]
fn other_files_and_newer_formats_are_told_apart() {
    assert_eq!(
        read([b"PK\x03\x04 some other file"]).err(),
        Some(SnapshotError::Magic)
    );
    let newer = b"swarmsn\x02and more";
    assert_eq!(
        read([newer]).err(),
        Some(SnapshotError::Format { found: 2 })
    );
    let huge = [&b"swarmsn\x01"[..], &u32::MAX.to_le_bytes()].concat();
    assert!(matches!(read([huge]), Err(SnapshotError::FrameSize(_))));
}

#[test]
fn an_empty_state_is_a_whole_snapshot() {
    let loaded = read([stream(&State::default())]).unwrap();
    assert_eq!(contents(&loaded).0, []);
}
