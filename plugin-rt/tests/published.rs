//! Readers stand still until they refresh.

#![cfg(not(hartscope_loom))]

use std::sync::Arc;

use plugin_rt::Published;

#[test]
fn a_reader_moves_only_when_it_refreshes() {
    let published = Arc::new(Published::new("first"));
    let mut reader = published.reader();
    assert!(!reader.refresh());
    published.publish("second");
    assert_eq!((*reader, *published.load()), ("first", "second"));
    assert!(reader.refresh());
    assert_eq!(*reader, "second");
    published.publish("second");
    assert!(reader.refresh(), "equal, but published anew");
}

#[test]
fn a_replaced_value_lives_as_long_as_it_is_read() {
    let first = Arc::new(());
    let published = Arc::new(Published::new(Some(Arc::clone(&first))));
    let mut reader = published.reader();
    published.publish(None);
    assert_eq!(Arc::strong_count(&first), 2);
    assert!(reader.is_some());
    reader.refresh();
    assert_eq!(Arc::strong_count(&first), 1);
}
