// What varve-bd answers, as far as the commands look at it (docs/block-daemon.md).

export interface BlockDevice {
  readonly device: string;
  readonly state: string;
  /** The operation that is under way on it. */
  readonly work: string | null;
  readonly config: string;
  /** How it reaches the kernel. */
  readonly transport: string;
  readonly path: string | null;
  readonly sizeBytes?: number;
  readonly readOnly?: boolean;
  readonly damageCount?: number;
  readonly openedAt?: string;
  /** Why one of a daemon before is not served again. */
  readonly problem?: string;
}

export interface DeviceUser {
  readonly kind: string;
  readonly process: number | null;
  readonly text: string;
}

export interface OperationStats {
  readonly requestCount: number;
  readonly errorCount: number;
  readonly sizeBytes: number;
  readonly durationNs: number;
  /** Only buckets that hold something; null: longer than the largest bound. */
  readonly latency: readonly { readonly upToUs: number | null; readonly requestCount: number }[];
}

export interface DeviceStats {
  readonly device: string;
  readonly transport: string;
  readonly damageCount: number;
  readonly operations: Readonly<Record<string, OperationStats>>;
}
