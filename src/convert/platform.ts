// Platforms: what an image says it is for, and which of them are wanted.
import { printable } from '../history/text.ts';
import { optionalTextAt, textAt, type JsonObject } from './json-document.ts';

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
}

const aliases: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  armhf: 'arm',
};

/** `os/architecture` or `os/architecture/variant`; undefined if it is neither. */
export function parsePlatform(text: string): Platform | undefined {
  const parts = text.toLowerCase().split('/');
  const [os = '', named = '', variant = ''] = parts;
  const isForm = parts.length === 2 || parts.length === 3;
  if (!isForm || !parts.every((part) => /^[a-z0-9_.-]+$/.test(part))) return undefined;
  return {
    os,
    architecture: Object.hasOwn(aliases, named) ? (aliases[named] ?? '') : named,
    variant,
  };
}

/** The platform that a configuration or a descriptor names. */
export function platformOf(document: JsonObject, place: string): Platform {
  return {
    os: textAt(document, 'os', place),
    architecture: textAt(document, 'architecture', place),
    variant: optionalTextAt(document, 'variant', place) ?? '',
  };
}

/** A variant that is not asked for does not matter. */
export function isMatch(wanted: Platform, found: Platform): boolean {
  return (
    wanted.os === found.os &&
    wanted.architecture === found.architecture &&
    (wanted.variant === '' || wanted.variant === found.variant)
  );
}

export function platformText({ os, architecture, variant }: Platform): string {
  return printable([os, architecture, ...(variant === '' ? [] : [variant])].join('/'));
}
