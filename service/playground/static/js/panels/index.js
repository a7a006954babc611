// The panels, in the order in which they are shown. A new one is a module beside this one and a line here;
// frame.js says what it has and what it gets.

import { layers } from "./layers.js";
import { live } from "./live.js";
import { path } from "./path.js";
import { point } from "./point.js";
import { samples } from "./samples.js";
import { upload } from "./upload.js";

export const PANELS = [samples, point, path, layers, upload, live];
