use super::*;
use proptest::prelude::*;

const STREAMS: [&str; 9] = [
    "event: a\ndata: {\"x\":1}\n\ndata: two\n\n",
    "event: a\r\ndata: {\"x\":1}\r\n\r\ndata: two\r\n\r\n",
    "event: a\rdata: {\"x\":1}\r\rdata: two\r\r",
    "\u{feff}data: after a mark\n\n: comment\n\nid: 7\nretry: 3\ndata: b\n\n",
    "data: one\ndata: two\r\ndata:three\rdata\n\n",
    "\n\n\r\n\r\r\n\ndata: blank lines before\n\n",
    "data: a\r\r\n\ndata: b\n\r\ndata: c\r\n\n",
    "data: no end",
    "data: half an end\r\n\r",
];

fn frames(chunks: &[&[u8]], limit_bytes: usize) -> Result<Vec<Frame>, Oversized> {
    let mut splitter = Splitter::new(limit_bytes);
    let mut found = Vec::new();
    for chunk in chunks {
        splitter.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = splitter.next_frame()? {
            found.push(frame);
        }
    }
    found.extend(splitter.finish());
    Ok(found)
}

fn told(frames: &[Frame]) -> Vec<(&str, &str)> {
    let with_data = frames.iter().filter(|frame| !frame.data.is_empty());
    with_data.map(|frame| (frame.event(), std::str::from_utf8(&frame.data).unwrap())).collect()
}

#[test]
fn reads_all_line_ends_comments_marks_and_many_lines() {
    let read = |stream: &str| frames(&[stream.as_bytes()], 1000).unwrap();
    for stream in &STREAMS[..3] {
        assert_eq!(told(&read(stream)), [("a", "{\"x\":1}"), ("", "two")], "{stream:?}");
    }
    assert_eq!(told(&read(STREAMS[3])), [("", "after a mark"), ("", "b")]);
    assert_eq!(told(&read(STREAMS[4])), [("", "one\ntwo\nthree\n")]);
    assert_eq!(told(&read(STREAMS[5])), [("", "blank lines before")]);
    assert_eq!(told(&read(STREAMS[6])), [("", "a"), ("", "b"), ("", "c")]);
    assert_eq!(told(&read(STREAMS[7])), [("", "no end")]);
    assert_eq!(told(&read(STREAMS[8])), [("", "half an end")]);
}

#[test]
fn cutting_at_any_two_points_changes_no_frame_and_loses_no_byte() {
    for stream in STREAMS.map(str::as_bytes) {
        let whole = frames(&[stream], 1000).unwrap();
        let raw: Vec<u8> = whole.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        assert_eq!(raw, stream);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let cut = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(frames(&cut, 1000).unwrap(), whole, "cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn an_event_is_given_away_with_its_last_byte() {
    for end in ["\n\n", "\r\n\r\n", "\r\r"] {
        let mut splitter = Splitter::new(100);
        let event = format!("data: now{end}");
        let (head, last) = event.as_bytes().split_at(event.len() - 1);
        splitter.push(Bytes::copy_from_slice(head));
        assert_eq!(splitter.next_frame(), Ok(None), "{end:?}");
        splitter.push(Bytes::copy_from_slice(last));
        assert_eq!(splitter.next_frame().unwrap().unwrap().raw, event, "{end:?}");
    }
}

#[test]
fn whole_events_of_a_chunk_are_slices_of_it() {
    let chunk = Bytes::from_static(b"data: one\n\nevent: x\ndata: two\n\n");
    let mut splitter = Splitter::new(100);
    splitter.push(chunk.clone());
    for _ in 0..2 {
        let frame = splitter.next_frame().unwrap().unwrap();
        for part in [&frame.raw, &frame.data] {
            assert!(chunk.as_ptr_range().contains(&part.as_ptr()));
        }
    }
}

#[test]
fn an_event_beyond_the_limit_ends_the_stream_wherever_it_is_cut() {
    let stream = b"data: ok\n\ndata: 0123456789\n\ndata: ok\n\n";
    for cut in 0..=stream.len() {
        let limit = |bytes| frames(&[&stream[..cut], &stream[cut..]], bytes);
        assert_eq!(limit(17), Err(Oversized { limit_bytes: 17 }), "cut at {cut}");
        assert_eq!(limit(18).map(|frames| frames.len()), Ok(3), "cut at {cut}");
    }
    let mut splitter = Splitter::new(4);
    splitter.push(Bytes::from_static(b"data: never ends"));
    assert!(splitter.next_frame().is_err());
    splitter.push(Bytes::from_static(b"\n\n"));
    assert!(splitter.next_frame().is_err(), "it does not come back in the middle of an event");
    assert_eq!(splitter.finish(), None);
}

#[test]
fn encodes_line_ends_as_lines_and_no_name_as_a_field() {
    assert_eq!(encode("", b"{}"), "data: {}\n\n");
    assert_eq!(encode("error", b"a\nb\r\nc\rd"), "event: error\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
    assert_eq!(encode("a\ndata: b", b"c"), "data: c\n\n");
    assert_eq!(encode("", b""), "data: \n\n");
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_come_back_whole(
        pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n\r\n:d ata\xef\xbb\xbf".to_vec()), 0..9), 0..12)
    ) {
        let chunks: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let all = chunks.concat();
        let cut = frames(&chunks, 1000).unwrap();
        prop_assert_eq!(&cut, &frames(&[&all], 1000).unwrap());
        let raw: Vec<u8> = cut.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        prop_assert_eq!(raw, all);
    }

    #[test]
    fn what_is_encoded_is_read_again(name in "[a-z.]{0,8}", data in "[ -~\n]{1,40}") {
        let read = frames(&[&encode(&name, data.as_bytes())], 1000).unwrap();
        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(read[0].event(), &name);
        prop_assert_eq!(&read[0].data[..], data.as_bytes());
    }
}
