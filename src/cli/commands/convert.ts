// varve convert: an ordinary image becomes one of overlaybd layers.
import { findNativeFile } from '../../adapters/native/location.ts';
import type { ConvertedImage, Conversion } from '../../convert/convert.ts';
import { convert } from '../../convert/convert.ts';
import type { Platform } from '../../convert/platform.ts';
import { parsePlatform } from '../../convert/platform.ts';
import { ConversionRefused } from '../../convert/refusal.ts';
import { counted, humanSize, printable } from '../../history/text.ts';
import type { CommandContext } from '../command-context.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { onInterrupt } from '../process-events.ts';
import { ProgressBar } from '../progress-bar.ts';

interface ConvertInput {
  readonly arguments: readonly string[];
  readonly platform?: readonly string[];
  readonly name?: string;
  readonly compression?: 'lz4' | 'zstd';
  readonly vsize?: string;
}

export async function run({ output }: CommandContext, input: ConvertInput): Promise<void> {
  const [from = '', to = ''] = input.arguments;
  const options = {
    input: from,
    output: to,
    platforms: (input.platform ?? []).map(platformOrFailure),
    name: input.name === undefined ? undefined : nameOrFailure(input.name),
    compression: input.compression ?? ('lz4' as const),
    virtualSize: sizeOrFailure(input.vsize ?? '64'),
    layerProgram: findNativeFile('varve-layer'),
    onInterrupt,
  };
  const bar = new ProgressBar();
  const forget = onInterrupt(() => bar.clear());
  const conversion = await convert({ ...options, progress: bar.show.bind(bar) })
    .catch((error: unknown) => {
      if (!(error instanceof ConversionRefused)) throw error;
      throw new CliFailure(exitCodes.failure, error.message, error);
    })
    .finally(() => {
      bar.clear();
      forget();
    });
  if (output.isJson) {
    await output.json({ format: 'varve-convert', version: 1, ...conversion });
  } else {
    await output.lines(conversionLines(conversion, input.name));
  }
}

function conversionLines(
  { output, images, leftOut }: Conversion,
  name: string | undefined,
): readonly string[] {
  const named = name === undefined ? '' : `, named ${name}`;
  return [
    `${printable(output)}: ${counted(images.length, 'image')}${named}`,
    ...images.map((image) => `  ${imageText(image)}`),
    ...leftOut.map(({ what, reason }) => `  left out: ${what}: ${reason}`),
  ];
}

function imageText({ title, layers }: ConvertedImage): string {
  const sizeBytes = layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  const sourceBytes = layers.reduce((sum, layer) => sum + layer.sourceBytes, 0);
  const count = counted(layers.length, 'layer');
  return `${title}: ${count}, ${humanSize(sizeBytes)} (before: ${humanSize(sourceBytes)})`;
}

function platformOrFailure(text: string): Platform {
  const platform = parsePlatform(text);
  if (platform !== undefined) return platform;
  const form = 'os/architecture or os/architecture/variant, such as linux/amd64';
  throw new CliFailure(exitCodes.usage, `--platform '${printable(text)}' is not ${form}`);
}

const nameCharactersMax = 255;

function nameOrFailure(text: string): string {
  if (/^[A-Za-z0-9][\w.:/-]*$/.test(text) && text.length <= nameCharactersMax) return text;
  const form = 'a name of an image, such as registry.example/app:1';
  throw new CliFailure(exitCodes.usage, `--name '${printable(text)}' is not ${form}`);
}

function sizeOrFailure(text: string): string {
  if (/^[1-9]\d*[BKMGT]?$/i.test(text)) return text;
  const form = 'a number of GiB, or one with B, K, M, G or T';
  throw new CliFailure(exitCodes.usage, `--vsize '${printable(text)}' is not ${form}`);
}
