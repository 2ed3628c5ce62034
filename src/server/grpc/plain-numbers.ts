// Makes protobufjs read and write 64-bit integers as numbers. Imported before any generated code,
// which looks at the setting while it loads.
import protobuf from 'protobufjs/minimal.js';

(protobuf.util as { Long: unknown }).Long = null;
protobuf.configure();
