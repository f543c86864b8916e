//! The lines of a file on their way to a reader, one at a time. What is too long to become a message is passed over, so
//! memory stays bounded by what is taken, whatever a line holds. Compressed files unfold as they are read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;
use sessile::import::{Line, Lines};
use sessile::limits::MESSAGE_BYTES_MAX;
use sessile_formats::Weight;

/// How much of a file tells what it is.
const HEAD_BYTES: usize = 64 * 1024;
/// What a line has held before its buffer is given back.
const KEPT_BYTES: usize = 1024 * 1024;
/// Up to here every line is read, so nobody need know what is in it.
const WEIGHED_BYTES_MIN: usize = MESSAGE_BYTES_MAX;

/// A file's lines.
pub struct FileLines {
    source: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    failed: Option<String>,
}

impl FileLines {
    /// Errors: the file cannot be opened.
    pub fn open(file: &Path) -> io::Result<Self> {
        let source = BufReader::with_capacity(HEAD_BYTES, open(file)?);
        Ok(Self { source, line: Vec::new(), failed: None })
    }

    /// Reads a line into `self.line`, and returns how many bytes it has. Of one that is too long `self.line` has the
    /// beginning.
    fn read_line(&mut self) -> io::Result<(u64, bool)> {
        let mut bytes = 0;
        let mut weight: Option<Weight> = None;
        let mut is_too_long = false;
        loop {
            let found = match self.source.fill_buf() {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                found => found?,
            };
            let end = found.iter().position(|byte| *byte == b'\n');
            let piece = found.get(..end.map_or(found.len(), |at| at + 1)).unwrap_or(found);
            let read = piece.len();
            bytes += read as u64;
            if !is_too_long {
                self.line.extend_from_slice(piece);
                if let Some(weight) = &mut weight {
                    weight.add(piece);
                } else if self.line.len() > WEIGHED_BYTES_MIN {
                    weight.insert(Weight::default()).add(&self.line);
                }
                if weight.as_ref().is_some_and(Weight::is_too_much) {
                    is_too_long = true;
                    self.line.truncate(HEAD_BYTES);
                    self.line.shrink_to_fit();
                }
            }
            self.source.consume(read);
            if read == 0 || end.is_some() {
                return Ok((bytes, is_too_long));
            }
        }
    }
}

impl Lines for FileLines {
    fn next_line(&mut self) -> Option<Line<'_>> {
        if let Some(cause) = self.failed.take() {
            return Some(Line::Unreadable(cause));
        }
        self.line.clear();
        self.line.shrink_to(KEPT_BYTES);
        match self.read_line() {
            Ok((0, _)) => None,
            Ok((bytes, true)) => Some(Line::TooLong(bytes)),
            Ok(_) => Some(Line::Whole(&self.line)),
            Err(cause) if self.line.is_empty() => Some(Line::Unreadable(cause.to_string())),
            // What has come of the line may be whole.
            Err(cause) => {
                self.failed = Some(cause.to_string());
                Some(Line::Whole(&self.line))
            }
        }
    }
}

/// The first lines of a file, whole: a single one may be longer than all that is usually looked at. Of a file that has
/// nothing but lines that are too long it is the beginning of the first: a document may stand on one line.
///
/// Errors: nothing of it can be read.
pub fn head(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut lines = FileLines::open(file)?;
    let (mut head, mut beginning) = (Vec::new(), Vec::new());
    while head.len() < HEAD_BYTES {
        match lines.next_line() {
            Some(Line::Whole(line)) => head.extend_from_slice(line),
            Some(Line::TooLong(_)) if beginning.is_empty() => beginning.clone_from(&lines.line),
            Some(Line::TooLong(_)) => {}
            Some(Line::Unreadable(cause)) if head.is_empty() => anyhow::bail!(cause),
            Some(Line::Unreadable(_)) | None => break,
        }
    }
    Ok(if head.is_empty() { beginning } else { head })
}

/// Opens a file; a compressed one unfolds as it is read.
pub fn open(file: &Path) -> io::Result<Box<dyn Read>> {
    let bytes = File::open(file)?;
    let is_compressed = file.extension().is_some_and(|end| end == "zst");
    Ok(if is_compressed {
        Box::new(Frames::Between(Box::new(BufReader::new(bytes))))
    } else {
        Box::new(bytes)
    })
}

/// The frames of a compressed file: it may be several.
enum Frames {
    Between(Box<dyn BufRead>),
    Inside(Box<StreamingDecoder<Box<dyn BufRead>, ruzstd::decoding::FrameDecoder>>),
    Done,
}

impl Read for Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            *self = match std::mem::replace(self, Self::Done) {
                Self::Done => return Ok(0),
                Self::Between(mut source) => {
                    if source.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(source);
                    Self::Inside(Box::new(decoder.map_err(|cause| torn(&cause))?))
                }
                Self::Inside(mut decoder) => match decoder.read(out).map_err(|cause| torn(&cause))? {
                    0 => Self::Between(decoder.into_inner()),
                    read => {
                        *self = Self::Inside(decoder);
                        return Ok(read);
                    }
                },
            }
        }
    }
}

fn torn(cause: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("not zstd, or torn: {cause}"))
}
