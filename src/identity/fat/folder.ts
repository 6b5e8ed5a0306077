// Folders of FAT: entries of 32 bytes with names of 8 and 3 bytes, before each of them the pieces of its long name, last piece first.
import { UnderstudyError } from '../../base/mod.ts';

const ENTRY_BYTES = 32;
const FREE = 0xe5;
/** A first byte 0xe5 that is meant. */
const REPLACED = 0x05;
const ATTRIBUTE = { volume: 0x08, folder: 0x10, longName: 0x0f } as const;
/** Windows NT: the base name, the extension is in small letters. */
const SMALL = { base: 0x08, extension: 0x10 } as const;
const LAST_PIECE = 0x40;
const PIECES_MAX = 20;
/** Where the 13 characters of a piece lie. */
const CHARACTERS = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/** Code page 437, in which Linux takes short names to be: 128 and up. */
const HIGH = [
  ...'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0',
];

export interface FatNode {
  readonly name: string;
  readonly kind: 'file' | 'folder';
  /** 0: nothing is in it. */
  readonly cluster: number;
  readonly sizeBytes: number;
  /** Seconds since 1970, its clock taken for UTC. */
  readonly modified: number;
}

/**
 * Names by what they are looked up by: FAT does not tell small letters from capital ones.
 * @param isWide FAT32, where clusters have numbers of 32 bits
 * @throws IMAGE_DAMAGED
 */
export function nodesIn(bytes: Buffer, image: string, isWide: boolean): ReadonlyMap<string, FatNode> {
  const nodes = new Map<string, FatNode>();
  let pieces: string[] = [];
  let check = -1;
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
    const entry = bytes.subarray(at, at + ENTRY_BYTES);
    const first = entry.readUInt8(0);
    const attributes = entry.readUInt8(11);
    if (first === 0) break;
    if (first !== FREE && (attributes & 0x3f) === ATTRIBUTE.longName) {
      if ((first & LAST_PIECE) !== 0) pieces = [];
      check = entry.readUInt8(13);
      pieces.unshift(pieceOf(entry));
      if (pieces.length > PIECES_MAX) throw damaged(image, 'a name without an end');
      continue;
    }
    const long = pieces.length > 0 && check === checkSum(entry) ? pieces.join('').toWellFormed() : null;
    pieces = [];
    if (first === FREE || (attributes & ATTRIBUTE.volume) !== 0) continue;
    const name = long ?? shortName(entry);
    if (name === '.' || name === '..') continue;
    if (name === '' || /[/\0]/.test(name)) throw damaged(image, 'a name that can be none');
    // The first of two equal names is the one that is found.
    const key = keyOf(name);
    if (!nodes.has(key)) nodes.set(key, nodeOf(name, entry, isWide));
  }
  return nodes;
}

export function keyOf(name: string): string {
  return name.toLowerCase();
}

function nodeOf(name: string, entry: Buffer, isWide: boolean): FatNode {
  const isFolder = (entry.readUInt8(11) & ATTRIBUTE.folder) !== 0;
  const date = entry.readUInt16LE(24);
  const time = entry.readUInt16LE(22);
  const day = Date.UTC(1980 + (date >>> 9), ((date >>> 5) & 15) - 1, date & 31) / 1000;
  return {
    name,
    kind: isFolder ? 'folder' : 'file',
    cluster: (isWide ? entry.readUInt16LE(20) * 0x10000 : 0) + entry.readUInt16LE(26),
    sizeBytes: isFolder ? 0 : entry.readUInt32LE(28),
    modified: day + (time >>> 11) * 3600 + ((time >>> 5) & 63) * 60 + (time & 31) * 2,
  };
}

function pieceOf(entry: Buffer): string {
  const codes = CHARACTERS.map((at) => entry.readUInt16LE(at));
  const end = codes.indexOf(0);
  return String.fromCharCode(...(end === -1 ? codes : codes.slice(0, end)));
}

function shortName(entry: Buffer): string {
  const bytes = Buffer.from(entry.subarray(0, 11));
  if (bytes[0] === REPLACED) bytes[0] = FREE;
  const flags = entry.readUInt8(12);
  const part = (from: number, to: number, small: number): string => {
    const codes = [...bytes.subarray(from, to)];
    const text = codes
      .map((code) => (code < 128 ? String.fromCharCode(code) : HIGH[code - 128]))
      .join('')
      .trimEnd();
    return (flags & small) === 0 ? text : text.toLowerCase();
  };
  const extension = part(8, 11, SMALL.extension);
  return part(0, 8, SMALL.base) + (extension === '' ? '' : `.${extension}`);
}

/** Of the short name: says that a long name belongs to it. */
function checkSum(entry: Buffer): number {
  let sum = 0;
  for (const byte of entry.subarray(0, 11)) sum = (((sum & 1) << 7) + (sum >>> 1) + byte) & 0xff;
  return sum;
}

export function damaged(image: string, what: string): UnderstudyError {
  return new UnderstudyError('IMAGE_DAMAGED', `a FAT file system in ${image} has ${what}`);
}
