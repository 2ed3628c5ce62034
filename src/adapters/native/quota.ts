// Project quota of directories; works on file systems mounted with prjquota.
import { succeeded, type NativeResult } from './errno.ts';
import { callNative } from './library.ts';

export interface ProjectUsage {
  /** 0 means no limit. */
  readonly limitBytes: number;
  readonly usedBytes: number;
  readonly usedInodeCount: number;
}

/** Gives a directory a project id that everything made below it inherits. */
export const setProject = (directory: string, projectId: number): NativeResult<number> =>
  callNative('set_project', [directory, projectId]);

/** Reads the project id of a directory. */
export const getProject = (directory: string): NativeResult<number> => {
  const projectId = [0];
  const result = callNative('get_project', [directory, projectId]);
  return result.ok ? succeeded(projectId[0] ?? 0) : result;
};

export interface ProjectLimitRequest {
  /** Any directory of the file system. */
  readonly path: string;
  readonly projectId: number;
  /** Rounded up to 1024-byte units; 0 takes the limit away. */
  readonly limitBytes: number;
}

/** Sets the hard block limit of a project. */
export const setProjectLimit = (request: ProjectLimitRequest): NativeResult<number> =>
  callNative('set_project_limit', [request.path, request.projectId, request.limitBytes]);

/** Reads limit and usage of a project. */
export const getProjectUsage = (path: string, projectId: number): NativeResult<ProjectUsage> => {
  const raw: Record<string, number | bigint> = {};
  const result = callNative('get_project_usage', [path, projectId, raw]);
  if (!result.ok) return result;
  return succeeded({
    limitBytes: Number(raw['limit_bytes'] ?? 0),
    usedBytes: Number(raw['used_bytes'] ?? 0),
    usedInodeCount: Number(raw['used_inodes'] ?? 0),
  });
};
