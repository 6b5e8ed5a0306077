export { changeImage, type ImageChange, type OnStep } from './apply.ts';
export type { FileEdit } from './edit.ts';
export { withTree } from './open-image.ts';
export { type ImageFormats, openRaw, type RawImage } from './raw-image.ts';
export { WorkFolder } from './work-folder.ts';
