//! A disk: a raw image in a file of the host.
//!
//! What the guest has flushed is on the host's disk. What it has written before is in the host's page
//! cache at least, so it survives this process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_ID_BYTES,
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

use super::{Broken, Buffer, Device, Served};

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image cannot be opened.
    #[error("cannot open the disk image {}: {source}", path.display())]
    Open {
        /// The image.
        path: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// Another machine has it.
    #[error("the disk image {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It is no whole number of sectors.
    #[error("the disk image {} has {size} bytes: a multiple of 512, and not 0, is needed", path.display())]
    Size {
        /// The image.
        path: PathBuf,
        /// How large it is.
        size: u64,
    },
}

const SECTOR: u64 = 512;
const QUEUE: u16 = 256;

/// Bytes that are copied at once.
const CHUNK: usize = 128 << 10;

/// The disk.
pub struct Block {
    file: File,
    sectors: u64,
    read_only: bool,
    /// Up to 20 bytes that name it.
    id: Vec<u8>,
    chunk: Box<[u8]>,
}

/// The 16 bytes that begin a request.
struct Header {
    kind: u32,
    sector: u64,
}

impl Block {
    /// A disk with this image, which nobody else may write meanwhile.
    pub fn open(path: &Path, read_only: bool) -> Result<Block, Error> {
        let open_error = |source| Error::Open {
            path: path.into(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(!read_only)
            .open(path)
            .map_err(open_error)?;
        let locked = if read_only {
            file.try_lock_shared()
        } else {
            file.try_lock()
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(path.into())),
            Err(TryLockError::Error(source)) => return Err(open_error(source)),
        }
        let size = file.metadata().map_err(open_error)?.len();
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return Err(Error::Size {
                path: path.into(),
                size,
            });
        }
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let len = name.len().min(VIRTIO_BLK_ID_BYTES as usize);
        Ok(Block {
            file,
            sectors: size / SECTOR,
            read_only,
            id: name[..len].to_vec(),
            chunk: vec![0; CHUNK].into(),
        })
    }

    /// Where `len` bytes at a sector begin in the image, if they are all inside.
    fn offset(&self, sector: u64, len: usize) -> Option<u64> {
        let offset = sector.checked_mul(SECTOR)?;
        let end = offset.checked_add(len as u64)?;
        let whole = (len as u64).is_multiple_of(SECTOR);
        (whole && end <= self.sectors * SECTOR).then_some(offset)
    }

    fn read(&mut self, sector: u64, buffer: &mut Buffer<'_>) -> Result<u32, Broken> {
        let Some(mut at) = self.offset(sector, buffer.writable()) else {
            return Ok(VIRTIO_BLK_S_IOERR);
        };
        loop {
            let len = buffer.writable().min(CHUNK);
            if len == 0 {
                return Ok(VIRTIO_BLK_S_OK);
            }
            let chunk = &mut self.chunk[..len];
            if self.file.read_exact_at(chunk, at).is_err() {
                return Ok(VIRTIO_BLK_S_IOERR);
            }
            buffer.write(chunk)?;
            at += len as u64;
        }
    }

    fn write(&mut self, sector: u64, buffer: &mut Buffer<'_>) -> Result<u32, Broken> {
        let Some(mut at) = self
            .offset(sector, buffer.readable())
            .filter(|_| !self.read_only)
        else {
            return Ok(VIRTIO_BLK_S_IOERR);
        };
        loop {
            let len = buffer.read(&mut self.chunk)?;
            if len == 0 {
                return Ok(VIRTIO_BLK_S_OK);
            }
            if self.file.write_all_at(&self.chunk[..len], at).is_err() {
                return Ok(VIRTIO_BLK_S_IOERR);
            }
            at += len as u64;
        }
    }

    fn request(&mut self, header: &Header, buffer: &mut Buffer<'_>) -> Result<u32, Broken> {
        match header.kind {
            VIRTIO_BLK_T_IN => self.read(header.sector, buffer),
            VIRTIO_BLK_T_OUT => self.write(header.sector, buffer),
            VIRTIO_BLK_T_FLUSH => Ok(match self.file.sync_data() {
                Ok(()) => VIRTIO_BLK_S_OK,
                Err(_) => VIRTIO_BLK_S_IOERR,
            }),
            VIRTIO_BLK_T_GET_ID => {
                let mut id = self.id.clone();
                id.resize(VIRTIO_BLK_ID_BYTES as usize, 0);
                buffer.write(&id)?;
                Ok(VIRTIO_BLK_S_OK)
            }
            _ => Ok(VIRTIO_BLK_S_UNSUPP),
        }
    }
}

impl Device for Block {
    fn kind(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_BLK_F_FLUSH
            | 1 << VIRTIO_BLK_F_SEG_MAX
            | u64::from(self.read_only) << VIRTIO_BLK_F_RO
    }

    fn queues(&self) -> &'static [u16] {
        &[QUEUE]
    }

    fn config(&self) -> Vec<u8> {
        // The capacity, the longest segment (which is not told), the most segments in a request.
        let mut config = self.sectors.to_le_bytes().to_vec();
        config.extend(0_u32.to_le_bytes());
        config.extend((u32::from(QUEUE) - 2).to_le_bytes());
        config
    }

    fn serve(&mut self, _queue: usize, buffer: &mut Buffer<'_>) -> Result<Served, Broken> {
        let mut bytes = [0; 16];
        if buffer.read(&mut bytes)? < bytes.len() {
            return Err(Broken("a request has no header"));
        }
        let (kind, rest) = bytes.split_at(4);
        let header = Header {
            kind: u32::from_le_bytes(kind.try_into().unwrap_or_default()),
            sector: u64::from_le_bytes(rest[4..].try_into().unwrap_or_default()),
        };
        let status_at = buffer.split_last_byte()?;
        let status = self.request(&header, buffer)?;
        buffer.write_byte(status_at, status as u8)?;
        Ok(Served::Done(buffer.written()))
    }
}
