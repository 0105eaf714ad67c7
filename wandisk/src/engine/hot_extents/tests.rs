//! Tests of what is marked when.

use super::*;

const DISK: u64 = 1 << 20;
const MAX: usize = 1024;

fn marked(extents: &mut HotExtents, wanted: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let wanted: Vec<u64> = wanted.into_iter().collect();
    wanted.iter().for_each(|e| assert!(extents.want(*e)));
    let marks = extents.take_wanted(wanted[0], DISK, MAX);
    marks.iter().for_each(|e| extents.insert(*e));
    marks
}

#[test]
fn one_write_here_and_one_there_mark_what_they_write() {
    let mut extents = HotExtents::default();
    assert_eq!(marked(&mut extents, [500]), [500]);
    assert_eq!(marked(&mut extents, [90]), [90]);
    assert_eq!(marked(&mut extents, [92]), [92]);
}

#[test]
fn a_writer_in_order_finds_twice_as_much_marked_as_it_has_behind_it() {
    let mut extents = HotExtents::default();
    let commits: Vec<usize> = std::iter::from_fn(|| {
        let next = extents.all().last().map_or(7, |last| last + 1);
        (next < 200).then(|| marked(&mut extents, [next]).len())
    })
    .collect();
    assert_eq!(commits, [1, 3, 9, 27, 33, 33, 33, 33, 33]);
}

#[test]
fn a_writer_in_order_is_told_early_what_to_mark_next() {
    let mut extents = HotExtents::loaded(0..10);
    assert_eq!(extents.next_in_order(4, DISK), None, "four behind, five to come");
    assert_eq!(extents.next_in_order(5, DISK), Some(10), "as many behind as to come");
    assert_eq!(extents.next_in_order(5, 10), None, "the disk ends");
    extents.want(10);
    assert_eq!(extents.next_in_order(6, DISK), None, "it is on its way");
    let alone = HotExtents::loaded([40]);
    assert_eq!(alone.next_in_order(40, DISK), None, "nothing says that this one goes on");
}

#[test]
fn where_many_write_all_over_the_disk_neighbourhoods_grow() {
    let mut extents = HotExtents::default();
    let far = |n: u64| (1..=4).map(move |i| n * 10_000 + i * 1000);
    assert_eq!(marked(&mut extents, far(0)).len(), 4 * 16);
    let alone: Vec<usize> = (0..9).map(|n| marked(&mut extents, [100_000 + n * 1000]).len()).collect();
    assert_eq!(alone, [16, 16, 16, 16, 16, 16, 16, 1, 1], "and those who come alone have none in the end");
    let mut extents = HotExtents::default();
    let commits: Vec<usize> = (0..2).map(|n| marked(&mut extents, far(n)).len()).collect();
    assert_eq!(commits, [4 * 16, 4 + (MAX - 64 - 4) / 2], "and as many as half of the room allows");
}

#[test]
fn half_of_the_room_is_never_given_to_what_nobody_wants() {
    let mut extents = HotExtents::default();
    for n in 0..100 {
        let room = MAX - extents.len();
        let marks = marked(&mut extents, (0..4).map(|i| n * 5000 + i * 1000).take(room.max(1)));
        assert!(marks.len() <= room, "{n}: {} of {room}", marks.len());
        let unwanted = marks.len().saturating_sub(4);
        assert!(unwanted * 2 <= room, "{n}: {unwanted} of {room}");
    }
    assert_eq!(extents.len(), MAX);
    assert!(extents.want(777_777));
    assert!(extents.take_wanted(777_777, DISK, MAX).is_empty(), "there is no room");
}

#[test]
fn whoever_commits_has_his_mark_however_little_room_there_is() {
    let mut extents = HotExtents::default();
    assert!(extents.want(3) && extents.want(9));
    assert_eq!(extents.take_wanted(9, DISK, 1), [9]);
    extents.insert(9);
    assert!(extents.want(3));
    assert!(extents.take_wanted(9, DISK, MAX).is_empty(), "he has it");
    extents.begin_cooling(1);
    assert!(extents.take_wanted(9, DISK, MAX).is_empty(), "it is being dropped");
}

#[test]
fn neighbourhoods_that_nobody_used_are_not_marked_again() {
    let mut extents = HotExtents::default();
    (0..2).for_each(|n| drop(marked(&mut extents, (1..=4).map(|i| n * 10_000 + i * 1000))));
    let (oldest, _) = extents.begin_cooling(256);
    oldest.iter().for_each(|e| extents.end_cooling(*e));
    assert_eq!(marked(&mut extents, [1, 2001, 4001, 6001]), [1, 2001, 4001, 6001]);
    extents.clear();
    assert_eq!(marked(&mut extents, [1, 2001, 4001, 6001]).len(), 64, "a new beginning");
}

#[test]
fn neighbourhoods_that_were_used_are_marked_again() {
    let mut extents = HotExtents::default();
    for n in 0..2 {
        let marks = marked(&mut extents, (1..=4).map(|i| n * 10_000 + i * 1000));
        marks.iter().for_each(|e| assert!(extents.touch(*e)));
    }
    let (oldest, _) = extents.begin_cooling(256);
    oldest.iter().for_each(|e| extents.end_cooling(*e));
    let marks = marked(&mut extents, [1, 2001, 4001, 6001]).len();
    assert_eq!(marks, 4 + (MAX - (64 + 482 - 256) - 4) / 2, "as many as half of the room allows");
}

#[test]
fn what_is_being_dropped_cannot_be_wanted() {
    let mut extents = HotExtents::loaded([5]);
    extents.begin_cooling(1);
    assert!(!extents.want(5));
    extents.end_cooling(5);
    assert_eq!(marked(&mut extents, [5]), [5]);
}

#[test]
fn the_last_of_a_disk_that_has_room_as_a_whole_is_marked_too() {
    let mut extents = HotExtents::loaded(0..1000);
    assert!([1001, 1005, 1010, 1015].into_iter().all(|e| extents.want(e)));
    extents.spread = AROUND;
    assert_eq!(extents.take_wanted(1001, 1024, MAX), (1000..1024).collect::<Vec<u64>>());
    assert!([1001, 1005, 1010, 1015].into_iter().all(|e| extents.want(e)));
    assert_eq!(
        extents.take_wanted(1001, 1025, MAX).len(),
        4 + 10,
        "one more than there is room for: half of the room"
    );
}

/// Commits of marks for random writes, 8 to an extent, of whom so many wait at a time.
fn commits_for(extents_on_disk: u64) -> u32 {
    const DEPTH: usize = 16;
    // Knuth's MMIX.
    let mut random = 1u64;
    let mut extents = HotExtents::default();
    let mut commits = 0;
    let mut waiting: Vec<u64> = Vec::new();
    for _ in 0..8 * extents_on_disk {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let extent = (random >> 33) % extents_on_disk;
        if !extents.touch(extent) {
            waiting.push(extent);
        }
        // Whoever comes first after a commit begins the next one alone; the others have come by the time it ends.
        let begins = waiting.len() == 1 && commits % 2 == 0;
        if begins || waiting.len() == DEPTH {
            let first = waiting[0];
            waiting.iter().for_each(|e| assert!(extents.want(*e)));
            extents.take_wanted(first, extents_on_disk, MAX).into_iter().for_each(|e| extents.insert(e));
            waiting.retain(|e| !extents.contains(*e));
            commits += 1;
        }
    }
    commits
}

#[test]
fn a_disk_that_has_room_as_a_whole_is_written_all_over_with_few_commits() {
    for gibibytes in [1, 2, 4] {
        let commits = commits_for(256 * gibibytes);
        assert!(commits <= 4, "{gibibytes} GiB: {commits}");
    }
}
