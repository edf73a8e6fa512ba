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
        sizes = "of sizes of their own" if maps.sizes is not None else f"of {maps.size[0]}x{maps.size[1]}"
        print(f"{store}: {len(maps)} maps {sizes}, all checksums right")
        print(f"mean saliency: {sum(means) / max(1, len(means)):.4f}")
        for key, value in maps.attributes.items():
            print(f"{key}: {json.dumps(value) if isinstance(value, dict) else value}")
