// The effective configuration as Inspect.Configuration answers it and `varve config dump` prints
// it.

export interface ConfigurationDocument {
  readonly format: 'varve-configuration';
  readonly version: 1;
  readonly configuration: object;
  /** Where each value came from, by dotted key. */
  readonly origins: Readonly<Record<string, string>>;
}
