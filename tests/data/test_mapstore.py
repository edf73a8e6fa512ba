import zlib

import h5py
import numpy as np
import pytest
from PIL import Image

from usod.data.images import resize_map
from usod.data.mapstore import ImageStore, MapFolder, MapStore, open_maps, write_images, write_map, write_maps
from usod.data.store import to_uint8
from usod.errors import UsodError

ATTRIBUTES = {"created_by": "test", "config": {"a": 1}, "inputs": {"x": "0" * 64}, "usod_version": "0"}


def write(path, maps, ids=None, **options):
    ids = ids or [f"image {i}" for i in range(len(maps))]
    sizes = np.tile([30, 40], (len(maps), 1))
    with write_maps(path, ids, maps.shape[1:], sizes, ATTRIBUTES, **options) as rows:
        for key, saliency in zip(ids, maps, strict=True):
            rows[key] = saliency
    return ids


def test_maps_come_back_as_they_were_written(tmp_path, rng):
    maps = rng.random((5, 7, 9)).astype(np.float32)
    ids = write(tmp_path / "a.h5", maps, ids=["b/ü 1", "a", "c", "d", "e"])
    with MapStore(tmp_path / "a.h5") as store:
        assert store.ids == ids and len(store) == 5 and store.shape == (7, 9)
        assert np.abs(store["b/ü 1"] - maps[0]).max() <= 0.5 / 255 + 1e-7
        assert [key for key, _ in store] == ids
        assert store.attributes["config"] == {"a": 1}
        np.testing.assert_array_equal(store.original_size[2], [30, 40])
        np.testing.assert_array_equal(store.read_all(["c", "a"]), to_uint8(maps[[2, 1]]))


def test_float16_keeps_more_than_8_bits(tmp_path, rng):
    maps = rng.random((2, 4, 4)).astype(np.float32)
    write(tmp_path / "a.h5", maps, dtype="float16")
    with MapStore(tmp_path / "a.h5") as store:
        assert np.abs(store["image 1"] - maps[1]).max() < 0.0005


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_any_reader_of_hdf5_reads_the_rows(tmp_path, rng, dtype):
    maps = to_uint8(rng.random((40, 6, 5))) if dtype == "uint8" else rng.random((40, 6, 5)).astype(np.float16)
    write(tmp_path / "a.h5", maps, dtype=dtype)
    with h5py.File(tmp_path / "a.h5") as file, MapStore(tmp_path / "a.h5") as store:
        np.testing.assert_array_equal(file["maps"][:], maps)
        np.testing.assert_array_equal(store.read_all(), maps)


@pytest.mark.parametrize(
    "stored", [{"compression": "lzf", "shuffle": True}, {"compression": "gzip", "fletcher32": True}, {}]
)
def test_rows_that_are_stored_in_another_way_are_read(tmp_path, rng, stored):
    """As an older usod wrote them, or a tool that packs files anew."""
    maps = to_uint8(rng.random((3, 6, 5)))
    write(tmp_path / "a.h5", maps)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["maps"]
        file.create_dataset("maps", data=maps, chunks=(1, 6, 5), **stored)
    with MapStore(tmp_path / "a.h5") as store:
        np.testing.assert_array_equal(store.read_all(), maps)


@pytest.mark.parametrize("rows", [5, 6, 7, 10**6])
def test_a_row_that_unpacks_to_other_bytes_or_another_length_is_damaged(tmp_path, rows):
    """A megabyte could become a gigabyte."""
    ids = write(tmp_path / "a.h5", np.zeros((3, 6, 5), np.uint8))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["maps"].id.write_direct_chunk((1, 0, 0), zlib.compress(b"\1" * 30 if rows == 6 else bytes(5 * rows)))
    with MapStore(tmp_path / "a.h5") as store, pytest.raises(UsodError, match=f"'{ids[1]}' is damaged"):
        store.read_all()


@pytest.fixture
def own_sizes(tmp_path, rng):
    """Three maps of sizes of their own, and the store that holds them."""
    maps = {f"{side}": rng.integers(0, 256, (side, side + 3), np.uint8) for side in (4, 9, 6)}
    shapes = np.array([saliency.shape for saliency in maps.values()])
    with write_maps(tmp_path / "own.h5", list(maps), shapes, shapes * 2, ATTRIBUTES) as rows:
        for key, saliency in maps.items():
            rows[key] = saliency
    return maps, MapStore(tmp_path / "own.h5")


def test_maps_of_sizes_of_their_own_come_back_as_they_were(own_sizes):
    maps, store = own_sizes
    for number, (key, saliency) in enumerate(maps.items()):
        np.testing.assert_array_equal(store.raw(key), saliency)
        np.testing.assert_allclose(store[number], saliency / 255, atol=1e-7)
    assert store.sizes_of(["6", "4"]).tolist() == [[6, 9], [4, 7]]
    with pytest.raises(UsodError, match=r"own\.h5: its maps have sizes of their own"):
        store.read_all()


def test_a_usod_that_knows_no_sizes_does_not_take_them_for_maps_of_one(own_sizes, tmp_path):
    """It would serve the rows that the maps lie in, so the format says another version."""
    write(tmp_path / "one.h5", np.zeros((1, 4, 4)))
    versions = {name: MapStore(tmp_path / f"{name}.h5").attributes["version"] for name in ("own", "one")}
    assert versions == {"own": 2, "one": 1}


def test_they_are_served_at_the_size_of_images(own_sizes, tmp_path):
    maps, store = own_sizes
    with write_images(tmp_path / "i.h5", ["6", "4"], (8, 5), np.ones((2, 2)), ATTRIBUTES) as rows:
        rows.fill(np.zeros((2, 8, 5, 3), np.uint8))
    images = ImageStore(tmp_path / "i.h5")
    store.fit_to(images)
    assert store.size == (8, 5) and store.sizes_of(["4"]).tolist() == [[8, 5]]
    expected = [to_uint8(resize_map(maps[key] / 255, (8, 5))) for key in images.ids]
    np.testing.assert_array_equal(store.read_all(images.ids), expected)
    with write_images(tmp_path / "j.h5", ["5"], (8, 5), np.ones((1, 2)), ATTRIBUTES) as rows:
        rows.fill(np.zeros((1, 8, 5, 3), np.uint8))
    with pytest.raises(UsodError, match="have no map here: 5"):
        store.fit_to(ImageStore(tmp_path / "j.h5"))


def test_a_map_of_another_size_than_it_was_to_have_is_refused(tmp_path):
    shapes = np.array([[4, 4], [6, 6]])
    with pytest.raises(ValueError, match=r"row 'a' has shape \(6, 6\)"):
        with write_maps(tmp_path / "a.h5", ["a", "b"], shapes, shapes, ATTRIBUTES) as rows:
            rows["a"] = np.zeros((6, 6))


def test_sizes_that_exceed_their_rows_are_no_store(own_sizes, tmp_path):
    own_sizes[1].close()
    with h5py.File(tmp_path / "own.h5", "a") as file:
        file["sizes"][1] = (10, 3)
    with pytest.raises(UsodError, match="damaged"):
        MapStore(tmp_path / "own.h5")


def test_a_part_without_images_is_a_store_without_rows(tmp_path):
    write(tmp_path / "a.h5", np.zeros((0, 7, 9)))
    with MapStore(tmp_path / "a.h5") as store:
        assert (len(store), store.ids, store.size, list(store)) == (0, [], (7, 9), [])
        assert store.read_all().shape == (0, 7, 9)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_what_is_not_finite_is_refused(tmp_path, dtype):
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="row 'image 1' has values that are not finite"):
            write(tmp_path / "a.h5", np.stack([np.zeros((4, 4)), np.full((4, 4), value)]), dtype=dtype)
    with pytest.raises(ValueError, match=r"a\.png has values that are not finite"):
        write_map(tmp_path / "a.png", np.full((4, 4), np.nan))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    with pytest.raises(UsodError, match="1 of 2 rows were not written"):
        with write_maps(tmp_path / "a.h5", ["a", "b"], (4, 4), np.ones((2, 2)), ATTRIBUTES) as rows:
            rows["a"] = np.zeros((4, 4))
    with pytest.raises(RuntimeError, match="killed"):
        with write_maps(tmp_path / "a.h5", ["a"], (4, 4), np.ones((1, 2)), ATTRIBUTES):
            raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_survives_a_failed_rewrite(tmp_path, rng):
    maps = rng.random((2, 4, 4))
    write(tmp_path / "a.h5", maps)
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(ValueError, match="shape"):
        with write_maps(tmp_path / "a.h5", ["a"], (4, 4), np.ones((1, 2)), ATTRIBUTES) as rows:
            rows["a"] = np.zeros((5, 5))
    assert (tmp_path / "a.h5").read_bytes() == before


def test_every_cut_is_refused_with_the_files_name(tmp_path, rng):
    write(tmp_path / "a.h5", rng.random((6, 16, 16)))
    whole = (tmp_path / "a.h5").read_bytes()
    for length in np.linspace(0, len(whole) - 1, 25).astype(int):
        (tmp_path / "cut.h5").write_bytes(whole[:length])
        with pytest.raises(UsodError, match="cut.h5"), MapStore(tmp_path / "cut.h5") as store:
            store.read_all()


def test_a_flipped_byte_names_the_image(tmp_path, rng):
    ids = write(tmp_path / "a.h5", rng.random((4, 64, 64)))
    with h5py.File(tmp_path / "a.h5") as file:
        offset = file["maps"].id.get_chunk_info(2).byte_offset
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[offset + 100] ^= 0x10
    (tmp_path / "a.h5").write_bytes(content)
    with MapStore(tmp_path / "a.h5") as store:
        store.raw(1)
        with pytest.raises(UsodError, match=ids[2]):
            store.raw(2)


def test_a_file_without_its_end_mark_is_refused(tmp_path, rng):
    write(tmp_path / "a.h5", rng.random((1, 4, 4)))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file.attrs["complete"]
    with pytest.raises(UsodError, match="incomplete"):
        MapStore(tmp_path / "a.h5")


@pytest.mark.parametrize("content", [b"", b"not HDF5", None])
def test_foreign_files_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(UsodError, match="a.h5"):
        MapStore(tmp_path / "a.h5")


def test_images_are_no_maps(tmp_path, rng):
    images = rng.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    with write_images(tmp_path / "i.h5", ["a", "b"], (4, 5), np.ones((2, 2)), ATTRIBUTES) as rows:
        rows[0], rows[1] = images
    with ImageStore(tmp_path / "i.h5") as store:
        np.testing.assert_array_equal(store["b"], images[1])
    with pytest.raises(UsodError, match="not a MapStore"):
        MapStore(tmp_path / "i.h5")


def test_missing_ids_are_named(tmp_path, rng):
    write(tmp_path / "a.h5", rng.random((1, 4, 4)), ids=["a"])
    with MapStore(tmp_path / "a.h5") as store, pytest.raises(UsodError, match="2 of 3 images have no map here: b, c"):
        store.require(["a", "b", "c"])


def test_a_map_is_found_without_going_through_all(tmp_path, rng, monkeypatch):
    """`usod maps merge` asks for every one of 100,000 by itself."""
    write(tmp_path / "a.h5", rng.random((3, 4, 4)))
    with MapStore(tmp_path / "a.h5") as store:
        monkeypatch.setattr(store, "ids", None)
        assert store.sizes_of(["image 1"]).tolist() == [[4, 4]]


def test_a_folder_of_pngs_reads_like_a_store(tmp_path, rng):
    maps = rng.random((2, 6, 8))
    write_map(tmp_path / "x" / "a b.png", maps[0])
    write_map(tmp_path / "é.png", maps[1])
    (tmp_path / "notes.txt").write_text("no map")
    for stray in ("__MACOSX/é.png", "._é.png", ".thumbs/é.png"):
        (tmp_path / stray).parent.mkdir(exist_ok=True)
        (tmp_path / stray).write_bytes(b"no map")
    folder = open_maps(tmp_path)
    assert isinstance(folder, MapFolder) and set(folder.ids) == {"x/a b", "é"}
    assert np.abs(folder["é"] - maps[1]).max() <= 0.5 / 255 + 1e-6


def test_two_maps_of_one_id_are_refused(tmp_path):
    for name in ("a.png", "a.jpg"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    with pytest.raises(UsodError, match="second map of 'a'"):
        MapFolder(tmp_path)


@pytest.mark.parametrize(
    ("version", "way_out"),
    [(0, "an older usod; delete the file"), (99, "a newer usod; update usod, or delete the file")],
)
@pytest.mark.parametrize("maker", ["usod maps extract rbd", "usod deepusps refine, stage 2"])
def test_a_store_of_another_version_says_the_way_out(tmp_path, version, way_out, maker):
    path = tmp_path / "m.h5"
    with write_maps(path, ["a"], (4, 4), [[4, 4]], ATTRIBUTES | {"created_by": maker}) as rows:
        rows["a"] = np.zeros((4, 4))
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = version
    with pytest.raises(UsodError) as caught:
        MapStore(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: of version {version} of the format, this usod reads 2: ") and way_out in told
    assert f"make it again with '{maker.partition(',')[0]}'" in told and "\n" not in told


def test_a_map_of_colours_counts_with_their_mean(tmp_path):
    Image.new("RGB", (3, 2), (255, 51, 0)).save(tmp_path / "a.png")
    np.testing.assert_allclose(open_maps(tmp_path)["a"], (255 + 51) / 3 / 255)


def test_values_beyond_the_range_are_clipped():
    assert to_uint8(np.array([-0.5, 0.2, 1.5])).tolist() == [0, 51, 255]


@pytest.mark.parametrize(("ids", "line"), [(["a", "a"], "same id"), (["a", "../b"], "no relative path")])
def test_ids_that_cannot_name_files_are_not_written(tmp_path, ids, line):
    with pytest.raises(UsodError, match=line):
        write(tmp_path / "a.h5", np.zeros((2, 4, 4)), ids=ids)
    assert not list(tmp_path.iterdir())


def test_maps_of_one_other_size_do_not_fit(tmp_path):
    write(tmp_path / "maps.h5", np.zeros((1, 4, 5)), ids=["a"])
    with write_images(tmp_path / "images.h5", ["a"], (6, 6), [[6, 6]], ATTRIBUTES) as rows:
        rows["a"] = np.zeros((6, 6, 3), np.uint8)
    with MapStore(tmp_path / "maps.h5") as maps, ImageStore(tmp_path / "images.h5") as images:
        with pytest.raises(UsodError, match=r"maps\.h5: has 4x5, but .*images\.h5 6x6"):
            maps.fit_to(images)
