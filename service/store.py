"""The models that a server holds, and which of them a request means."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service import bundle, context, noise
from service.bundle import BundleError
from service.engine import Device, DeviceError, Engine, Float32
from service.errors import InvalidInputError, ModelRefusedError, UnknownModelError
from service.manifest import NAME, Manifest, PerCoordinate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """One loaded version of one bundle."""

    manifest: Manifest
    engine: Engine

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one data row."""
        return tuple(self.manifest.event_shape)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent row."""
        return tuple(self.manifest.latent_shape)

    @property
    def support(self) -> tuple[Float32, Float32] | None:
        """The open box (low, high) of data, each of event shape; None where every row is inside."""
        if self.manifest.support is None:
            return None
        return self._box(self.manifest.support.low), self._box(self.manifest.support.high)

    def _box(self, values: PerCoordinate) -> Float32:
        full = np.broadcast_to(np.asarray(values, np.float32), (self.manifest.dimensions,))
        return full.reshape(self.event_shape)


class Store:
    """Every bundle of a folder, loaded, and those that were refused with the reason why.

    Args:
        folder: the store.
        device, threads: see `Engine`.
        default: the model of requests that name none; where the store has one model, that one.

    Raises:
        DeviceError: the device asked for cannot be used.
        BundleError: not one bundle could be loaded, or the default model is not among them.
    """

    def __init__(self, folder: Path, device: Device, threads: int, default: str | None) -> None:
        self.models: dict[str, dict[int, Model]] = {}
        self.refused: dict[str, dict[int, str]] = {}
        for path in _bundles(folder):
            self._load(path, device, threads)
        if not self.models:
            raise BundleError(
                f"no bundle could be loaded from {folder}"
                + "".join(f"\n  {r}" for rs in self.refused.values() for r in rs.values())
                + "\n`bijecta export RUN --store STORE` writes one; `make serve` makes five"
            )
        names = sorted({*self.models, *self.refused})
        self.default = default or (names[0] if len(names) == 1 else None)
        if self.default is not None and self.default not in names:
            raise BundleError(f"the default model {default!r} is none of {', '.join(names)}")

    def get(self, name: str | None, version: int | None) -> Model:
        """The model that a request means; the newest version where it names none.

        Raises:
            InvalidInputError: it names no model, and there are several.
            UnknownModelError: there is no such model or version.
            ModelRefusedError: it is in the store, and was not loaded.
        """
        name = name or self.default
        if name is None:
            raise InvalidInputError(f"say which model: one of {', '.join(sorted(self.models))}")
        versions, refused = self.models.get(name, {}), self.refused.get(name, {})
        if not versions and not refused:
            raise UnknownModelError(
                f"no model {name!r:.80}: there are {', '.join(sorted(self.models))}"
            )
        if version is None and versions:
            return versions[max(versions)]
        if version in versions:
            return versions[version]
        if version is None or version in refused:
            raise ModelRefusedError(refused[max(refused) if version is None else version])
        raise UnknownModelError(
            f"model {name!r} has no version {version}: there are "
            f"{', '.join(map(str, sorted({*versions, *refused})))}"
        )

    def close(self) -> None:
        """Let every model go."""
        for versions in self.models.values():
            for model in versions.values():
                model.engine.close()

    def _load(self, path: Path, device: Device, threads: int) -> None:
        name, version = path.parent.name, int(path.name)
        started = time.perf_counter()
        try:
            manifest = bundle.read(path)
            engine = Engine(path, device, threads)
            z = noise.latents(manifest, 1, seed=0, temperature=1.0)
            engine.warm_up(tuple(manifest.event_shape), z, context.example(manifest))
        except DeviceError:
            raise
        except BundleError as error:
            reason = str(error)
        except Exception as error:
            # whatever onnxruntime makes of one bundle must not keep the others from being served
            log.exception("could not load %s", path)
            reason = f"{path} could not be loaded: {error}"
        else:
            self.models.setdefault(name, {})[version] = Model(manifest, engine)
            seconds = time.perf_counter() - started
            log.info("loaded %s version %d on %s, %.2f s", name, version, engine.provider, seconds)
            return
        log.error("refused %s version %d: %s", name, version, reason)
        self.refused.setdefault(name, {})[version] = reason


def _bundles(folder: Path) -> list[Path]:
    """The folders store/<name>/<version>, sorted."""
    if not folder.is_dir():
        raise BundleError(f"there is no store at {folder}")
    found = []
    try:
        for path in sorted(p for p in folder.iterdir() if p.is_dir()):
            if not NAME.fullmatch(path.name):
                log.warning("skipped %s: names match %s", path, NAME.pattern)
                continue
            try:
                found += [path / str(version) for version in bundle.versions(path)]
            except OSError as error:
                log.warning("skipped %s: %s", path, error)
    except OSError as error:
        raise BundleError(f"the store cannot be read: {error}") from None
    return found
