export { changeImage, type OnStep } from './apply.ts';
export type { ImageChange, Remaining } from './edit-overlay.ts';
export { withTree } from './open-image.ts';
export { type GivenName, type ImageFormats, nbdServer, openRaw, type RawImage } from './raw-image.ts';
export { WorkFolder } from './work-folder.ts';
