"""The systems of usod, in the order in which they are named and shown."""

from usod.systems.descriptions.a2s import A2s
from usod.systems.descriptions.deepusps import DeepUsps
from usod.systems.descriptions.distil import Distil
from usod.systems.descriptions.ldps import Ldps
from usod.systems.descriptions.spectral import Spectral
from usod.systems.descriptions.vote import Vote
from usod.systems.descriptions.wss import Wss
from usod.systems.registry import Registry

SYSTEMS = Registry([DeepUsps(), A2s(), Wss(), Ldps(), Spectral(), Vote(), Distil()])
