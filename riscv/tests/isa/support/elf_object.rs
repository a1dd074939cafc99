//! The least ELF file that makes objdump disassemble with the extensions that we name.

const SHT_PROGBITS: u32 = 1;
const SHT_STRTAB: u32 = 3;
const SHT_RISCV_ATTRIBUTES: u32 = 0x7000_0003;

struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
}

/// A relocatable riscv64 object with `text` as its code and `arch` as its `Tag_RISCV_arch`.
pub fn object(text: Vec<u8>, arch: &str) -> Vec<u8> {
    let names = b"\0.text\0.riscv.attributes\0.shstrtab\0";
    let sections = [
        Section {
            name: 1,
            kind: SHT_PROGBITS,
            flags: 6,
            data: text,
        },
        Section {
            name: 7,
            kind: SHT_RISCV_ATTRIBUTES,
            flags: 0,
            data: attributes(arch),
        },
        Section {
            name: 25,
            kind: SHT_STRTAB,
            flags: 0,
            data: names.to_vec(),
        },
    ];
    const HEADER: usize = 64;
    let mut body = Vec::new();
    let mut table = vec![0; HEADER];
    for section in &sections {
        let offset = HEADER + body.len();
        body.extend(&section.data);
        body.resize(body.len().next_multiple_of(16), 0);
        table.extend(section.name.to_le_bytes());
        table.extend(section.kind.to_le_bytes());
        let size = section.data.len() as u64;
        // flags, address, offset, size, link and info, alignment, entry size
        for field in [section.flags, 0, offset as u64, size, 0, 4, 0] {
            table.extend(field.to_le_bytes());
        }
    }
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [1u16, 243] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for word in [0, 0, (HEADER + body.len()) as u64] {
        file.extend(word.to_le_bytes());
    }
    // Flags: RVC, double-float ABI.
    file.extend(5u32.to_le_bytes());
    for half in [HEADER as u16, 0, 0, 64, 4, 3] {
        file.extend(half.to_le_bytes());
    }
    file.extend(body);
    file.extend(table);
    file
}

/// The contents of `.riscv.attributes`: version 'A', vendor "riscv", one file-wide string.
fn attributes(arch: &str) -> Vec<u8> {
    let mut file_tags = vec![5];
    file_tags.extend(arch.as_bytes());
    file_tags.push(0);
    let mut vendor = b"riscv\0".to_vec();
    vendor.push(1);
    vendor.extend((file_tags.len() as u32 + 5).to_le_bytes());
    vendor.extend(file_tags);
    let mut all = vec![b'A'];
    all.extend((vendor.len() as u32 + 4).to_le_bytes());
    all.extend(vendor);
    all
}
