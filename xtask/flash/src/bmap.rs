// SPDX-License-Identifier: MIT OR Apache-2.0
//! The block map of an image, as bmap-tools reads it (format 2.0): the blocks that must be written,
//! with their checksum, and a checksum of the map itself.

use crate::image::{BLOCK, Image};
use crate::sha256;

/// Returns the block map of an image.
pub fn map(image: &Image) -> String {
    let blocks = image.bytes().len() / BLOCK;
    let mapped = image.used().len() / BLOCK;
    // The map's checksum is that of the map with zeros in its place.
    let none = "0".repeat(64);
    let text = format!(
        "<?xml version=\"1.0\" ?>\n\
         <bmap version=\"2.0\">\n    \
             <ImageSize> {} </ImageSize>\n    \
             <BlockSize> {BLOCK} </BlockSize>\n    \
             <BlocksCount> {blocks} </BlocksCount>\n    \
             <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
             <ChecksumType> sha256 </ChecksumType>\n    \
             <BmapFileChecksum> {none} </BmapFileChecksum>\n    \
             <BlockMap>\n        \
                 <Range chksum=\"{}\"> 0-{} </Range>\n    \
             </BlockMap>\n\
         </bmap>\n",
        image.bytes().len(),
        sha256(image.used()),
        mapped - 1,
    );
    text.replace(&none, &sha256(text.as_bytes()))
}
