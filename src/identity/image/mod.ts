export { changeImage, type ImageChange, type OnStep } from './apply.ts';
export type { FileEdit } from './edit.ts';
export { type OpenImage, openImage } from './open-image.ts';
export { nameImage, WorkFolder } from './work-folder.ts';
