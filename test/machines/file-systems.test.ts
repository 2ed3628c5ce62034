// What labels and the configuration may ask of mkfs and mount(2), which run as root.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { askedMountOptions, newFileSystem } from '../../src/machines/device/file-systems.ts';

const asked = (text: string) => newFileSystem(text, 'label x');

const made = (text: string) => {
  const result = asked(text);
  assert.ok(result.ok, result.ok ? '' : result.rejection.message);
  return result.value;
};

test('a name alone gets what goes well with it', () => {
  const ext4 = made('ext4');
  assert.equal(ext4.mountOptions, 'discard');
  assert.ok(ext4.formatArguments.includes('^has_journal,sparse_super,flex_bg'));
  assert.equal(made('xfs').mountOptions, 'nouuid,discard');
  assert.equal(made('ntfs').fileSystem, 'ntfs3', 'the kernel’s own');
  assert.deepEqual(made('f2fs').formatArguments, ['-w', '4096']);
});

test('a part that is there counts, also an empty one', () => {
  assert.deepEqual(made('ext4;;'), { fileSystem: 'ext4', mountOptions: '', formatArguments: [] });
  assert.deepEqual(made('ext4;noatime,data=ordered;-b 4096 -O ^metadata_csum'), {
    fileSystem: 'ext4',
    mountOptions: 'noatime,data=ordered',
    formatArguments: ['-b', '4096', '-O', '^metadata_csum'],
  });
});

test('what reaches beyond the device is refused by name', () => {
  const refusals: Readonly<Record<string, RegExp>> = {
    btrfs: /ext4, xfs, f2fs and ntfs/,
    erofs: /type erofs cannot be made/,
    '': /that can be made/,
    constructor: /that can be made/,
    'ext4;errors=panic': /mount option errors=panic/,
    'ext4;journal_dev=8': /journal_dev=8/,
    'ext4;;-d /etc': /mkfs argument -d/,
    'ext4;;-J device=/dev/sda': /mkfs argument -J/,
    'ext4;;/dev/sda': /mkfs argument \/dev\/sda/,
    'ext4;;-O /dev/sda': /mkfs argument \/dev\/sda/,
    'ext4;;-b 4096 8192': /mkfs argument 8192/,
    // No value belongs there: mkfs would take the word for the device.
    'f2fs;;-f swapfile': /mkfs argument swapfile/,
    'ext4;;-F -q swapfile': /mkfs argument swapfile/,
    'ext4;;-b': /mkfs argument -b/,
    'xfs;;-l logdev=sda': /mkfs argument -l/,
    'xfs;logdev=/dev/sda': /logdev/,
    'ext4;a;b;c': /more than three parts/,
  };
  for (const [text, words] of Object.entries(refusals)) {
    const result = asked(text);
    assert.ok(!result.ok, text);
    assert.equal(result.rejection.code, 'invalid_argument');
    assert.match(result.rejection.message, words);
    assert.match(result.rejection.message, /^label x is "/);
  }
});

test('what an image asks for is taken from the same list, beside what its file system needs', () => {
  const options = (text: string, fileSystem?: string) => {
    const result = askedMountOptions(text, 'label x', fileSystem);
    return result.ok ? result.value : result.rejection.message;
  };
  assert.equal(options('', 'ext4'), '');
  assert.equal(options('ext4', 'ext4'), '');
  assert.equal(options('ext4;noload;-O ^has_journal', 'ext4'), 'noload');
  assert.equal(options('xfs;norecovery,norecovery', 'xfs'), 'nouuid,norecovery');
  assert.equal(options('ntfs;acl', 'ntfs3'), 'acl');
  // A name without options asks for nothing, whatever it is.
  assert.equal(options('btrfs'), '');
  // It is the file system that is there which has them.
  assert.equal(options('ext4;noatime', 'erofs'), 'noatime');
  const refusals: Readonly<Record<string, readonly [string | undefined, RegExp]>> = {
    'ext4;noload,errors=panic': ['ext4', /mount option errors=panic is not allowed with ext4/],
    'xfs;logdev=/dev/sda': [undefined, /mount option logdev=\/dev\/sda is not allowed with xfs/],
    'ext4;noload': ['erofs', /mount option noload is not allowed with erofs/],
    'erofs;discard': ['erofs', /mount option discard is not allowed with erofs/],
    'btrfs;degraded': [undefined, /mount option degraded is not allowed with "btrfs"/],
    'constructor;noload': [undefined, /mount option noload is not allowed with "constructor"/],
  };
  for (const [text, [fileSystem, words]] of Object.entries(refusals)) {
    assert.match(options(text, fileSystem), words);
    assert.match(options(text, fileSystem), /^label x is "/);
  }
});

test('no text makes an argument that is a path or an option that was not named', () => {
  const part = fc.constantFrom('ext4', ';', ' ', '-', '/', 'dev', 'O', 'd', '=', ',', 'discard');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const result = asked(`ext4;${parts.join('')}`);
      if (!result.ok) return;
      for (const argument of result.value.formatArguments) assert.doesNotMatch(argument, /\//);
      assert.doesNotMatch(result.value.mountOptions, /\//);
      // Whoever makes a file system by a text may ask for the same when it is only read.
      const read = askedMountOptions(`ext4;${parts.join('')}`, 'label x', 'ext4');
      assert.ok(read.ok);
      assert.doesNotMatch(read.value, /[/ ;]/);
    }),
    { numRuns: 2_000 },
  );
});
