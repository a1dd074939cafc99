//! Builds small ELF files, right ones and wrong ones.

/// An ELF file to be. Fields that are `None` get the right value.
#[derive(Clone)]
pub struct ElfBuilder {
    pub status: u8,
    pub class: u8,
    pub data: u8,
    pub kind: u16,
    pub machine: u16,
    pub entry: Option<u64>,
    pub phoff: Option<u64>,
    pub phentsize: u16,
    pub phnum: Option<u16>,
    pub interpreter: Option<&'static str>,
    pub segments: Vec<Segment>,
}

/// A loadable segment with the whole file in it, unless it says otherwise.
#[derive(Clone, Default)]
pub struct Segment {
    pub vaddr: u64,
    pub offset: Option<u64>,
    pub filesz: Option<u64>,
    pub memsz: Option<u64>,
}

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

impl ElfBuilder {
    /// A program that exits with `status`.
    pub fn exit(status: u8) -> ElfBuilder {
        ElfBuilder {
            status,
            class: 2,
            data: 1,
            kind: 2,
            machine: 243,
            entry: None,
            phoff: None,
            phentsize: PROGRAM_HEADER as u16,
            phnum: None,
            interpreter: None,
            segments: vec![Segment {
                vaddr: 0x10000,
                ..Segment::default()
            }],
        }
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        let headers = self.segments.len() as u64 + u64::from(self.interpreter.is_some());
        let text_at = HEADER + headers * PROGRAM_HEADER;
        // li a0, status; li a7, exit; ecall
        let text = [u32::from(self.status) << 20 | 0x513, 93 << 20 | 0x893, 0x73];
        let name_at = text_at + 4 * text.len() as u64;
        let name = self
            .interpreter
            .map_or(Vec::new(), |name| [name.as_bytes(), b"\0"].concat());
        let end = name_at + name.len() as u64;
        let base = self
            .segments
            .first()
            .map_or(0, |segment| segment.vaddr & !0xfff);

        let mut file = vec![0x7f, b'E', b'L', b'F', self.class, self.data, 1, 0];
        file.extend([0; 8]);
        put(&mut file, self.kind, 2);
        put(&mut file, self.machine, 2);
        put(&mut file, 1u64, 4);
        put(&mut file, self.entry.unwrap_or(base + text_at), 8);
        put(&mut file, self.phoff.unwrap_or(HEADER), 8);
        put(&mut file, 0u64, 8); // section headers
        put(&mut file, 5u64, 4); // flags: compressed, double floats
        put(&mut file, HEADER, 2);
        put(&mut file, self.phentsize, 2);
        put(&mut file, self.phnum.unwrap_or(headers as u16), 2);
        file.extend([0; 6]);

        if self.interpreter.is_some() {
            program_header(
                &mut file,
                3,
                name_at,
                base + name_at,
                name.len() as u64,
                name.len() as u64,
            );
        }
        for segment in &self.segments {
            let filesz = segment.filesz.unwrap_or(end);
            let memsz = segment.memsz.unwrap_or(filesz);
            program_header(
                &mut file,
                1,
                segment.offset.unwrap_or(0),
                segment.vaddr,
                filesz,
                memsz,
            );
        }
        for word in text {
            put(&mut file, word, 4);
        }
        file.extend(name);
        file
    }
}

fn program_header(file: &mut Vec<u8>, kind: u64, offset: u64, vaddr: u64, filesz: u64, memsz: u64) {
    put(file, kind, 4);
    put(file, 5u64, 4); // readable and executable
    for field in [offset, vaddr, vaddr, filesz, memsz, 0x1000] {
        put(file, field, 8);
    }
}

fn put(file: &mut Vec<u8>, value: impl Into<u64>, bytes: usize) {
    file.extend_from_slice(&value.into().to_le_bytes()[..bytes]);
}
