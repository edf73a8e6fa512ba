"""`usod maps info`: size and attributes of a MapStore."""

import json

from usod.commands.maps import Store, app
from usod.commands.options import Quiet


@app.command()
def info(store: Store, quiet: Quiet = False) -> None:
    """Print size and attributes of a MapStore.

    Example: usod maps info rbd.h5
    """
    from usod.data.mapstore import MapStore

    with MapStore(store) as maps:
        means = [float(saliency.mean()) for _, saliency in maps]
        print(f"{store}: {len(maps)} maps of {maps.shape[0]}x{maps.shape[1]}, all checksums right")
        print(f"mean saliency: {sum(means) / max(1, len(means)):.4f}")
        for key, value in maps.attributes.items():
            print(f"{key}: {json.dumps(value) if isinstance(value, dict) else value}")
