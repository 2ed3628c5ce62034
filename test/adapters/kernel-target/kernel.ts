// The kernel's target and what it shows of its disks, in memory, as helper processes see it: for
// what a kernel does not do when it is asked to. What orders it takes when is as Linux 6.1 has it;
// the virtual machine's tests hold the same steps against that.
import { constants } from 'node:os';
import type {
  AttributeOperation,
  HelperFailure,
  HelperResult,
} from '../../../src/adapters/helper-pool/requests.ts';
import type { HelperPool } from '../../../src/adapters/helper-pool/pool.ts';

const root = '/sys/kernel/config/target';

interface Core {
  config: string;
  dataArea: string;
  timeOut: string;
  isEnabled: boolean;
}

interface Port {
  hasGroup: boolean;
  hasUnit: boolean;
  nexus: string | null;
  /** `dev_7` and where it leads. */
  link: { readonly name: string; readonly target: string } | null;
}

/** What is done instead of an order, or before it: an errno's name fails it. */
export type Fault = (request: AttributeOperation) => string | Partial<HelperFailure> | undefined;

type Errno = keyof typeof constants.errno;

class Refused extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const refuse = (code: string): never => {
  throw new Refused(code);
};

export class FakeKernel {
  readonly adapters = new Set<string>();
  readonly cores = new Map<string, Core>();
  readonly ports = new Map<string, Port>();
  hasFabric = false;
  fault: Fault = () => undefined;
  /** Everything that was to change something. */
  readonly orders: string[] = [];
  /** Who uses each disk. */
  users: readonly string[] = [];
  /** Who is still enabling. */
  enabling: readonly string[] = [];
  /** Whether a disk that is shown appears, and its node. */
  appears: 'all' | 'otherNode' | 'disk' | 'nothing' = 'all';
  /** What disks say of themselves. */
  vendor = 'LIO-ORG ';
  page: (core: string) => string = (core) =>
    `user_${core.replace('user_', '').replace('/', '-')}\\x01`;
  diskTimeOut = '30';

  /** As the pool of helper processes. */
  readonly pool: Pick<HelperPool, 'run'> = {
    run: ((request: AttributeOperation) => Promise.resolve(this.#answer(request))) as never,
  };

  #answer(request: AttributeOperation): HelperResult<unknown> {
    const path = 'path' in request ? request.path : '';
    if (!/^(read|list|device|file)/.test(request.operation)) {
      this.orders.push(`${request.operation} ${path.replace(`${root}/`, '')}`);
    }
    try {
      const fault = this.fault(request);
      if (typeof fault === 'string') refuse(fault);
      if (fault !== undefined) return { ...failure('ETIMEDOUT', request), ...(fault as object) };
      return { ok: true, value: this.#carryOut(request) };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return failure(error.code, request);
    }
  }

  #carryOut(request: AttributeOperation): unknown {
    switch (request.operation) {
      case 'make-directory':
        return { made: this.#make(request.path) };
      case 'remove-directory':
        return { removed: this.#remove(request.path) };
      case 'make-link':
        return { made: this.#link(request.path, request.target) };
      case 'remove-link':
        return { removed: this.#unlink(request.path) };
      case 'write-attribute':
        this.#write(request.path, request.text);
        return {};
      case 'read-attribute':
        return { text: this.#read(request.path) };
      case 'list-directory':
        return { entries: this.#list(request.path) };
      case 'device-number':
        if (this.appears === 'otherNode') return { major: 8, minor: 32 };
        return this.appears === 'all' ? { major: 8, minor: 16 } : refuse('ENOENT');
      case 'device-users':
        return { users: this.users };
      case 'file-users':
        return { users: this.enabling };
    }
  }

  #make(path: string): boolean {
    const place = this.#placeOf(path);
    switch (place.kind) {
      case 'adapter':
        return added(this.adapters, place.name);
      case 'core':
        if (!this.adapters.has(place.adapter)) refuse('ENOENT');
        if (this.cores.has(place.name)) return false;
        this.cores.set(place.name, {
          config: '',
          dataArea: '1024',
          timeOut: '30',
          isEnabled: false,
        });
        return true;
      case 'fabric': {
        const isNew = !this.hasFabric;
        this.hasFabric = true;
        return isNew;
      }
      case 'port':
        if (!this.hasFabric) refuse('ENOENT');
        if (this.ports.has(place.name)) return false;
        this.ports.set(place.name, { hasGroup: false, hasUnit: false, nexus: null, link: null });
        return true;
      case 'group':
      case 'unit': {
        const port = this.#port(place.name);
        const part = place.kind === 'group' ? 'hasGroup' : 'hasUnit';
        if (part === 'hasUnit' && !port.hasGroup) refuse('ENOENT');
        if (port[part]) return false;
        port[part] = true;
        return true;
      }
      default:
        return refuse('EPERM');
    }
  }

  #remove(path: string): boolean {
    const place = this.#placeOf(path);
    switch (place.kind) {
      case 'core':
        if (this.#linksTo(place.name)) refuse('EBUSY');
        return this.cores.delete(place.name);
      case 'port':
        if (this.ports.get(place.name)?.hasGroup === true) refuse('ENOTEMPTY');
        return this.ports.delete(place.name);
      case 'group':
      case 'unit': {
        const port = this.ports.get(place.name);
        const part = place.kind === 'group' ? 'hasGroup' : 'hasUnit';
        if (port?.[part] !== true) return false;
        if (part === 'hasGroup' ? port.hasUnit : port.link !== null) refuse('ENOTEMPTY');
        port[part] = false;
        if (part === 'hasGroup') port.nexus = null;
        return true;
      }
      default:
        return refuse('EPERM');
    }
  }

  #link(path: string, target: string): boolean {
    const place = this.#placeOf(path);
    if (place.kind !== 'link') return refuse('EPERM');
    const port = this.#port(place.name);
    if (!port.hasUnit || port.nexus === null) refuse('ENOENT');
    const core = this.cores.get(target.replace(`${root}/core/`, ''));
    if (core?.isEnabled !== true) refuse('ENODEV');
    if (port.link !== null) return false;
    port.link = {
      name: place.device,
      target: `../../../../../../target/${target.slice(root.length + 1)}`,
    };
    return true;
  }

  #unlink(path: string): boolean {
    const place = this.#placeOf(path);
    const port = place.kind === 'link' ? this.ports.get(place.name) : undefined;
    if (place.kind !== 'link' || port?.link?.name !== place.device) return false;
    port.link = null;
    return true;
  }

  #write(path: string, text: string): void {
    if (path.startsWith('/sys/block/')) {
      this.diskTimeOut = text;
      return;
    }
    const place = this.#placeOf(path);
    if (place.kind === 'attribute' && place.of === 'port') {
      const port = this.#port(place.name);
      if (port.nexus !== null) refuse('EEXIST');
      port.nexus = text;
      return;
    }
    const core = place.kind === 'attribute' ? this.cores.get(place.name) : undefined;
    if (core === undefined || place.kind !== 'attribute') return refuse('ENOENT');
    const [key = '', value = ''] = text.split('=');
    if (place.attribute === 'enable') {
      if (core.isEnabled) refuse('EEXIST');
      core.isEnabled = true;
    } else if (place.attribute === 'attrib/cmd_time_out') {
      if (this.#linksTo(place.name)) refuse('EINVAL');
      core.timeOut = text;
    } else if (key === 'dev_config') {
      core.config = value;
    } else {
      if (core.isEnabled) refuse('EINVAL');
      core.dataArea = value;
    }
  }

  #read(path: string): string {
    const disk = /^\/sys\/class\/scsi_device\/\d+:0:1:0\/device\/(.*)$/.exec(path)?.[1];
    if (disk !== undefined) return this.#readDisk(disk);
    if (path.startsWith('/sys/block/')) return `${this.diskTimeOut}\n`;
    const place = this.#placeOf(path);
    if (place.kind !== 'attribute') return refuse('ENOENT');
    if (place.of === 'port') {
      const port = this.ports.get(place.name);
      if (port?.hasGroup !== true) return refuse('ENOENT');
      return place.attribute === 'address' ? '7:0:1\n' : `${port.nexus ?? refuse('ENODEV')}\n`;
    }
    const core = this.cores.get(place.name);
    if (core === undefined) return refuse('ENOENT');
    return place.attribute === 'enable' ? `${Number(core.isEnabled)}\n` : `${core.config}\n`;
  }

  #readDisk(file: string): string {
    const shown = [...this.ports.values()].find(({ link }) => link !== null)?.link;
    if (shown === undefined || shown === null) return refuse('ENOENT');
    const core = shown.target.split('/').slice(-2).join('/');
    const files: Readonly<Record<string, string>> = {
      vendor: `${this.vendor}\n`,
      model: 'TCMU device     \n',
      vpd_pg83: this.page(core),
      'block/sdb/dev': '8:16\n',
      'block/sdb/size': '65536\n',
    };
    return files[file] ?? refuse('ENOENT');
  }

  #list(path: string): readonly { readonly name: string; readonly target: string | null }[] {
    const plain = (names: readonly string[]) => names.map((name) => ({ name, target: null }));
    if (path === root) return plain(['core']);
    if (path === `${root}/core`) return plain(['alua', ...this.adapters]);
    if (path.endsWith('/device/block')) {
      const isShown = [...this.ports.values()].some(({ link }) => link !== null);
      return isShown && this.appears !== 'nothing' ? plain(['sdb']) : refuse('ENOENT');
    }
    const place = this.#placeOf(path);
    const port = 'name' in place ? this.ports.get(place.name) : undefined;
    switch (place.kind) {
      case 'adapter': {
        if (!this.adapters.has(place.name)) return refuse('ENOENT');
        const own = [...this.cores.keys()].filter((name) => name.startsWith(`${place.name}/`));
        return plain(own.map((name) => name.slice(place.name.length + 1)));
      }
      case 'unit':
        if (port?.hasUnit !== true) return refuse('ENOENT');
        return [...plain(['statistics']), ...(port.link === null ? [] : [port.link])];
      case 'port':
        return port === undefined ? refuse('ENOENT') : plain(['param']);
      default:
        return refuse('ENOENT');
    }
  }

  #port(name: string): Port {
    return this.ports.get(name) ?? refuse('ENOENT');
  }

  #linksTo(core: string): boolean {
    return [...this.ports.values()].some(({ link }) => link?.target.endsWith(`/${core}`) === true);
  }

  #placeOf(path: string) {
    const parts = path.slice(root.length + 1).split('/');
    const [kind = '', first = '', second = '', ...rest] = parts;
    if (kind === 'core') {
      const name = `${first}/${second}`;
      if (parts.length === 2) return { kind: 'adapter', name: first } as const;
      if (parts.length === 3) return { kind: 'core', adapter: first, name } as const;
      return { kind: 'attribute', of: 'core', name, attribute: rest.join('/') } as const;
    }
    if (parts.length === 1) return { kind: 'fabric', name: '' } as const;
    if (parts.length === 2) return { kind: 'port', name: first } as const;
    if (parts.length === 3) return { kind: 'group', name: first } as const;
    const below = rest.join('/');
    if (below === 'lun/lun_0') return { kind: 'unit', name: first } as const;
    const device = /^lun\/lun_0\/(dev_\d+)$/.exec(below)?.[1];
    if (device !== undefined) return { kind: 'link', name: first, device } as const;
    return { kind: 'attribute', of: 'port', name: first, attribute: below } as const;
  }
}

function added(set: Set<string>, name: string): boolean {
  const isNew = !set.has(name);
  set.add(name);
  return isNew;
}

function failure(code: string, request: AttributeOperation): HelperFailure {
  const path = 'path' in request ? request.path : '';
  const step = request.operation;
  const errno = constants.errno[code as Errno] ?? constants.errno.EIO;
  return { ok: false, errno, code, step, message: `${step} ${path}: ${code}`, path };
}
