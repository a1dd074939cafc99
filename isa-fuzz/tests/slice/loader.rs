//! The ELF loader's parser on mutated files: an error or an image that keeps its promises, never a
//! panic. (That a mutated program does no harm when it is run is tested with the binary.)

use isa_fuzz::elf;
use isa_fuzz::generate::{self, Options};
use isa_fuzz::rng::Rng;
use isa_fuzz::values::INTEGERS;
use linux_user::exec::elf::parse;

/// Bytes of file and program headers.
const HEADERS: u32 = 64 + 3 * 56;

#[test]
fn mutated_headers_give_an_error_or_a_sane_image() {
    let options = Options {
        chunks: 1,
        ..Options::default()
    };
    let good = elf::write(&generate::program(1, &options).assemble());
    let mut rng = Rng::new(1);
    let mut accepted = 0;
    for _ in 0..200_000 {
        let mut file = good.clone();
        for _ in 0..=rng.below(3) {
            mutate(&mut rng, &mut file);
        }
        let Ok(image) = parse(&file) else {
            continue;
        };
        accepted += 1;
        let mut end = 0;
        assert!(!image.segments.is_empty());
        for segment in &image.segments {
            assert!(segment.vaddr >= end && segment.file_size <= segment.mem_size);
            assert!(segment.offset + segment.file_size <= file.len() as u64);
            end = segment.vaddr + segment.mem_size;
        }
        assert!(image.extent().start <= image.extent().end);
    }
    assert!(accepted > 1000, "only {accepted} mutations were accepted");
}

/// Changes the headers, or cuts the file.
fn mutate(rng: &mut Rng, file: &mut Vec<u8>) {
    let at = rng.below(HEADERS.min(file.len() as u32).max(1)) as usize;
    match rng.below(10) {
        0 => file.truncate(at),
        1 => file.truncate(rng.below(file.len() as u32 + 1) as usize),
        2..=5 => {
            if let Some(byte) = file.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        _ => {
            if let Some(word) = file.get_mut(at & !7..).and_then(<[u8]>::first_chunk_mut) {
                *word = rng.pick(INTEGERS).to_le_bytes();
            }
        }
    }
}
