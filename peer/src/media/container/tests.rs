use std::time::Duration;

use bytes::Bytes;

use super::{Container, probe};
use crate::media::Notice;
use crate::media::testing::{Run, card, ffmpeg};

const MS: Duration = Duration::from_millis(1);

fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let len = (8 + body.len()) as u32;
    [&len.to_be_bytes(), &kind[..], body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A header with a video track (1) and an audio track (2).
fn mp4_header(fragmented: bool) -> Vec<u8> {
    let track = |id: u32, handler: &[u8; 4]| {
        let tkhd = mp4_box(b"tkhd", &words(&[0, 0, 0, id, 0]));
        let hdlr = mp4_box(b"hdlr", &[&words(&[0, 0]), &handler[..], &[0; 13]].concat());
        mp4_box(b"trak", &[tkhd, mp4_box(b"mdia", &hdlr)].concat())
    };
    let defaults = |id: u32, flags: u32| mp4_box(b"trex", &words(&[0, id, 1, 0, 0, flags]));
    let mvex = mp4_box(b"mvex", &[defaults(1, 0x0001_0000), defaults(2, 0)].concat());
    let mut moov = [track(1, b"vide"), track(2, b"soun")].concat();
    if fragmented {
        moov.extend_from_slice(&mvex);
    }
    [mp4_box(b"ftyp", b"iso5\0\0\0\0"), mp4_box(b"moov", &moov)].concat()
}

/// A fragment of one track. `first_flags` are those of its first sample, if it has any of its own.
fn fragment(track: u32, first_flags: Option<u32>, len: usize) -> Vec<u8> {
    let tfhd = mp4_box(b"tfhd", &words(&[0x02_0000, track]));
    let trun = match first_flags {
        Some(flags) => words(&[0x5, 3, 0, flags]),
        None => words(&[0x1, 3, 0]),
    };
    let traf = mp4_box(b"traf", &[tfhd, mp4_box(b"trun", &trun)].concat());
    let moof = mp4_box(b"moof", &[mp4_box(b"mfhd", &words(&[0, 1])), traf].concat());
    [moof, mp4_box(b"mdat", &vec![0xab; len])].concat()
}

#[test]
fn fragmented_mp4_is_joined_at_key_frames_of_its_video() {
    const NON_SYNC: Option<u32> = Some(0x0101_0000);
    const SYNC: Option<u32> = Some(0x0200_0000);
    let header = mp4_header(true);
    let mut input = header.clone();
    let mut keys = Vec::new();
    for (i, fragment) in [
        fragment(1, SYNC, 5000),
        fragment(2, None, 900),
        fragment(1, NON_SYNC, 3000),
        fragment(1, None, 3000),
        [mp4_box(b"styp", b"msdh\0\0\0\0"), fragment(1, SYNC, 70_000)].concat(),
        fragment(2, None, 900),
        fragment(1, NON_SYNC, 2000),
    ]
    .into_iter()
    .enumerate()
    {
        if i == 0 || i == 4 {
            keys.push(input.len());
        }
        input.extend(fragment);
    }
    for piece in [1, 7, 100, 1000, usize::MAX] {
        let run = Run::new(&input, piece, MS / 20);
        assert_eq!(run.notices, [], "in pieces of {piece}");
        assert_eq!(run.segmenter.container(), Container::FragmentedMp4);
        assert_eq!(run.output(), input);
        assert_eq!(run.joins(), keys, "in pieces of {piece}");
        assert_eq!(run.segmenter.tables(), header);
        assert_eq!(run.notices, []);
    }
}

#[test]
fn mp4_that_is_not_fragmented_is_carried_but_said_to_be_no_good() {
    let input = [mp4_header(false), mp4_box(b"mdat", &[1; 5000])].concat();
    let run = Run::new(&input, 1000, MS);
    assert_eq!(run.output(), input);
    assert_eq!(run.segmenter.container(), Container::Opaque);
    assert!(matches!(&run.notices[..], [Notice::NotJoinable { .. }]));
}

#[test]
fn a_header_without_end_is_not_kept() {
    let input = [
        mp4_box(b"ftyp", b"iso5\0\0\0\0"),
        mp4_box(b"uuid", &vec![1; 300_000]),
    ]
    .concat();
    let run = Run::new(&input, 10_000, MS);
    assert_eq!(run.output(), input);
    assert_eq!(run.segmenter.tables(), Bytes::new());
    assert!(matches!(&run.notices[..], [Notice::NotJoinable { .. }]));
}

/// An element with its length in eight bytes, or of unknown length.
fn element(id: &[u8], content: &[u8], known: bool) -> Vec<u8> {
    let len = if known {
        content.len() as u64 | 1 << 56
    } else {
        (1 << 57) - 1
    };
    [id, &len.to_be_bytes(), content].concat()
}

const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];

#[test]
fn matroska_is_joined_at_clusters_of_known_and_unknown_length() {
    let block = element(&[0xa3], &[0x42; 2000], true);
    let cluster = [element(&[0xe7], &[0, 1], true), block.clone(), block].concat();
    let ebml = element(&[0x1a, 0x45, 0xdf, 0xa3], b"\x42\x82\x84webm", true);
    let segment = element(
        &[0x18, 0x53, 0x80, 0x67],
        &element(&[0x15, 0x49, 0xa9, 0x66], &[1; 40], true),
        false,
    );
    let header = [ebml, segment].concat();
    let clusters = [true, false, false, true].map(|known| element(CLUSTER, &cluster, known));
    let input = [&header[..], &clusters.concat()].concat();
    let keys: Vec<usize> = (0..4).map(|i| header.len() + i * clusters[0].len()).collect();
    for piece in [1, 10, 1000, usize::MAX] {
        let run = Run::new(&input, piece, MS / 20);
        assert_eq!(run.segmenter.container(), Container::Matroska);
        assert_eq!(run.output(), input);
        assert_eq!(run.joins(), keys, "in pieces of {piece}");
        assert_eq!(run.segmenter.tables(), header);
        assert_eq!(run.notices, []);
    }
}

#[test]
fn an_encoder_that_starts_anew_brings_a_new_header() {
    let one = |title| {
        let ebml = element(&[0x1a, 0x45, 0xdf, 0xa3], title, true);
        let header = [ebml, element(&[0x18, 0x53, 0x80, 0x67], &[], false)].concat();
        (
            header.clone(),
            [
                header,
                element(CLUSTER, &element(&[0xa3], &[7; 3000], true), false),
            ]
            .concat(),
        )
    };
    let ((_, first), (header, second)) = (one(b"first"), one(b"second"));
    let run = Run::new(&[first, second].concat(), 100, MS);
    assert_eq!(run.segmenter.tables(), header);
    assert_eq!(
        run.segments
            .iter()
            .filter(|segment| segment.discontinuity)
            .count(),
        1
    );
}

fn ogg_page(flags: u8, granule: i64, len: u8) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend_from_slice(&granule.to_le_bytes());
    page.extend_from_slice(&[0; 12]);
    page.extend_from_slice(&[1, len]);
    page.extend(std::iter::repeat_n(0x5a, len.into()));
    page
}

#[test]
fn ogg_is_joined_at_pages_about_once_a_second() {
    let header = [ogg_page(2, 0, 30), ogg_page(0, 0, 200)].concat();
    let mut input = header.clone();
    // A page every 100 ms, in one read each.
    let page = ogg_page(0, 4800, 255).len();
    for i in 1..=50 {
        input.extend(ogg_page(u8::from(i % 20 == 0), i * 4800, 255));
    }
    let run = Run::new(&input, page, 100 * MS);
    assert_eq!(run.segmenter.container(), Container::Ogg);
    assert_eq!(run.output(), input);
    assert_eq!(run.segmenter.tables(), header);
    let joins = run.joins();
    assert_eq!(joins[0], header.len());
    assert!((5..=6).contains(&joins.len()), "{joins:?}");
    assert!(joins.iter().all(|at| (at - header.len()) % page == 0));
}

#[test]
fn a_broken_page_chain_goes_on_at_the_next_page() {
    let mut input = [ogg_page(2, 0, 30), ogg_page(0, 0, 200), ogg_page(0, 10, 100)].concat();
    input.extend_from_slice(b"Oh no! OggOggO");
    let resumes = input.len();
    for i in 2..10 {
        input.extend(ogg_page(0, 10 * i, 100));
    }
    let run = Run::new(&input, 50, 10 * MS);
    assert_eq!(run.output(), input);
    assert_eq!(run.segmenter.container(), Container::Ogg);
    let mut at = 0;
    let broken = run.segments.iter().find(|segment| {
        at += segment.payload.len();
        segment.discontinuity
    });
    let broken = broken.unwrap().payload.len();
    assert!((at - broken..at).contains(&resumes));
}

#[test]
fn containers_are_told_apart_by_their_first_bytes() {
    assert_eq!(probe(b"Ogg", false), None);
    assert_eq!(probe(b"OggS", false), Some(Container::Ogg));
    assert_eq!(probe(b"Ogg", true), Some(Container::Opaque));
    assert_eq!(probe(&card(1)[..5 * 188], false), Some(Container::MpegTs));
    assert_eq!(probe(&card(1)[..2 * 188], false), None);
    assert_eq!(probe(&card(1)[..2 * 188], true), Some(Container::MpegTs));
    assert_eq!(probe(&[0; 400], false), Some(Container::Opaque));
}

/// What real multiplexers make of the test stream: a player that is given the header and everything from a join
/// point on must be content.
#[test]
fn players_start_at_the_join_points_of_real_files() {
    let video = "-f mpegts -i @ -c copy";
    let audio = "-f lavfi -i sine=duration=8";
    for (arguments, container) in [
        (
            format!("{video} -movflags frag_keyframe+empty_moov+default_base_moof -f mp4 %"),
            Container::FragmentedMp4,
        ),
        (
            format!("{video} -frag_duration 80000 -movflags empty_moov+cmaf -f mp4 %"),
            Container::FragmentedMp4,
        ),
        (
            format!("{video} -cluster_time_limit 500 -f matroska -live 1 %"),
            Container::Matroska,
        ),
        (format!("{audio} -c:a flac -f ogg %"), Container::Ogg),
    ] {
        let Some((file, said)) = ffmpeg(&card(4), &arguments) else {
            return;
        };
        assert_eq!(said, "", "{arguments}");
        let run = Run::new(&file, 1000, 80 * MS);
        assert_eq!(run.segmenter.container(), container, "{arguments}");
        assert_eq!(run.output(), file);
        let joins = run.joins();
        assert!(joins.len() >= 3, "{arguments}: joins at {joins:?}");
        let from = joins[joins.len() / 2];
        let stream = [&run.segmenter.tables(), &file[from..]].concat();
        let (_, said) = ffmpeg(&stream, "-i @ -f null -").unwrap_or_default();
        assert_eq!(said, "", "{arguments}");
    }
}
