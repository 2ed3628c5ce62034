// Every bound of the gRPC services, named, with its reason. The limits of keys and labels are the
// machines' own (src/machines/snapshot/labels.ts).

/** Largest request. The largest real one (CRI labels of a pod) has a few KiB. */
export const requestBytesMax = 4 * 1024 * 1024;

/** Largest single answer; List and Read are split long before, between snapshots or events. */
export const responseBytesMax = 64 * 1024 * 1024;

/** Calls in progress over both sockets; more are refused, so that memory stays bounded. */
export const concurrentCallsMax = 4096;

/** Watches in progress: each holds a stream open for as long as its consumer likes. */
export const concurrentWatchesMax = 256;

/** Watches of health in progress on one socket. */
export const healthWatchesMax = 256;

/** Filters of one List, and bytes of one of them. containerd sends one or two short ones. */
export const filterCountMax = 256;
export const filterBytesMax = 64 * 1024;

/** Paths in the field mask of one Update. */
export const maskPathCountMax = 1024;

/** Snapshots in one message of List: what containerd's own service sends. */
export const listBatchCount = 100;

/** Bytes in one message of List, about: containerd's client takes 16 MiB. */
export const listBatchBytes = 1024 * 1024;

/** Events in one message of Read. */
export const readBatchCount = 200;

/** Bytes in one message of Read, about: a long event may be larger. */
export const readBatchBytes = 512 * 1024;

/** A consumer of a stream that takes nothing for so long is cut off. */
export const stalledConsumerMs = 10_000;

/** Bookmarks of a Watch in which nothing matches. */
export const bookmarkIntervalDefaultMs = 10_000;
export const bookmarkIntervalMinMs = 100;

/** One part of an answer in parts: several fit into what may wait for a consumer. */
export const contentPartBytes = 64 * 1024;

/** All of a shutdown: containerd and systemd are told that it takes less than this. */
export const shutdownMs = 4_500;

/** The part of it that calls in progress get to end by themselves. */
export const drainMs = 1_500;

/** The part of it that running effects get to end by themselves. */
export const engineStopMs = 1_500;

/** The part of it that connections get to end by themselves. */
export const connectionGraceMs = 300;
