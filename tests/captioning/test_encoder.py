"""Backbones against torchvision itself; what is frozen stays so; the context that comes out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from captioning.backbone import Backbone, backbone_names, fast_dtype
from captioning.encoder import ImageEncoder, SmallCNN
from captioning.transform import ImageTransform
from common.errors import UserError

SIZE = 96
FAMILIES = [
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
]


def lively(backbone: Backbone) -> Backbone:
    """BatchNorm as after training: statistics and offsets that matter."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return backbone


def pictures(count: int = 2, size: int = SIZE) -> Tensor:
    return torch.randn(count, 3, size, size)


@pytest.fixture(params=FAMILIES, scope="module")
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Not to be changed by a test."""
    return lively(Backbone(request.param))


@pytest.fixture(scope="module")
def resnet() -> Backbone:
    """Not to be changed by a test."""
    return lively(Backbone("resnet18"))


def torchvision_pooled(backbone: Backbone, images: Tensor) -> Tensor:
    """The vector (B, C) that torchvision's own network, with the same weights, classifies by."""
    options = {"aux_logits": False, "init_weights": False} if backbone.name == "googlenet" else {}
    network = torchvision.models.get_model(backbone.name, weights=None, **options).eval()
    if options:
        network.transform_input = True  # as torchvision sets it with its own weights
    own = backbone.network.state_dict()
    assert set(own) <= set(network.state_dict())
    network.load_state_dict(own, strict=False)
    head = network.fc if hasattr(network, "fc") else network.classifier
    seen: list[Tensor] = []
    head.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        network(images)
    # squeezenet classifies every region, and pools then.
    return seen[0] if seen[0].ndim == 2 else seen[0].mean((2, 3))


# ---- what a backbone computes


def test_the_mean_of_the_grid_is_what_torchvision_classifies_by(backbone: Backbone) -> None:
    images = pictures()
    with torch.no_grad():
        grid = backbone(images)
    rows, columns = backbone.grid_size(SIZE)
    assert grid.shape == (2, rows * columns, backbone.feature_size)
    expected = torchvision_pooled(backbone, images)
    torch.testing.assert_close(grid.mean(1), expected, rtol=1e-4, atol=1e-5)


def test_the_inference_copy_computes_the_same_with_fewer_norms(backbone: Backbone) -> None:
    quick = backbone.inference_copy()
    images = pictures()
    with torch.no_grad():
        expected, grid = backbone(images), quick(images)
    assert (grid - expected).norm() < 1e-4 * expected.norm()
    assert quick.frozen and not quick.training
    left = sum(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    # Those of a DenseNet that come before a convolution cannot be folded into it.
    assert left == (62 if backbone.name == "densenet121" else 0)


def test_the_inference_copy_leaves_the_original_alone(resnet: Backbone) -> None:
    digest = resnet.digest
    quick = resnet.inference_copy(torch.bfloat16)
    assert {parameter.dtype for parameter in quick.parameters()} == {torch.bfloat16}
    assert resnet.digest == digest and resnet.network.conv1.weight.dtype == torch.float32


def test_an_image_has_the_same_grid_alone_and_in_a_batch(resnet: Backbone) -> None:
    images = pictures(3)
    with torch.no_grad():
        alone, together = torch.cat([resnet(image[None]) for image in images]), resnet(images)
    assert (alone - together).norm() < 1e-5 * together.norm()


def test_regions_are_in_reading_order(resnet: Backbone) -> None:
    rows, columns = resnet.grid_size(224)
    assert (rows, columns) == (7, 7)
    image = pictures(1, 224)
    corners = [
        (top, left) for top in (slice(0, 3), slice(4, 7)) for left in (slice(0, 3), slice(4, 7))
    ]
    for top, left in corners:
        other = image.clone()
        other.view(3, rows, 32, columns, 32)[:, top, :, left] += 3
        with torch.no_grad():
            change = (resnet(other) - resnet(image)).norm(dim=2).view(rows, columns)
        changes = [change[corner].mean() for corner in corners]
        assert corners[int(torch.stack(changes).argmax())] == (top, left)


def test_every_known_family_is_offered() -> None:
    names = set(backbone_names())
    assert {"resnet50", "vgg16", "convnext_tiny", "inception_v3", "swin_t", *FAMILIES} <= names
    assert not {"vit_b_16", "fasterrcnn_resnet50_fpn", "r3d_18"} & names


@pytest.mark.parametrize(
    ("name", "advice"),
    [("resnet5", "Did you mean resnet50"), ("vit_b_16", "transformer"), ("raft_large", "no class")],
)
def test_a_network_without_a_grid_is_refused(name: str, advice: str) -> None:
    with pytest.raises(UserError, match=advice):
        Backbone(name)


def test_images_that_are_too_small_are_refused_before_any_work(resnet: Backbone) -> None:
    assert resnet.grid_size(1) == (1, 1)
    with pytest.raises(UserError, match="squeezenet1_1 cannot take images of 8 x 8 pixels"):
        Backbone("squeezenet1_1").grid_size(8)


# ---- frozen and learnt


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_a_frozen_network_ignores_train(name: str) -> None:
    backbone = lively(Backbone(name))  # efficientnet: dropout of whole paths, too
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    images = pictures()
    evaluated = backbone.eval()(images)
    nn.Sequential(backbone).train()
    torch.testing.assert_close(backbone(images), evaluated, rtol=0, atol=0)
    assert backbone.frozen and not backbone(images).requires_grad
    assert all(torch.equal(before[name], now) for name, now in backbone.state_dict().items())
    assert backbone.parameter_groups(0.1) == []


@pytest.mark.parametrize(
    ("start", "learnt"),
    [
        (0, set()),
        (1, {"layer4"}),
        ("2", {"layer3", "layer4"}),
        ("layer3", {"layer3", "layer4"}),
        ("maxpool", {"layer1", "layer2", "layer3", "layer4"}),
        (6, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    ],
)
def test_gradients_reach_the_chosen_stages_only(start: int | str, learnt: set[str]) -> None:
    backbone = Backbone("resnet18", fine_tune_from=start)
    grid = backbone.train()(pictures())
    if learnt:
        grid.square().mean().backward()
    with_gradient = {
        name.split(".")[1]
        for name, parameter in backbone.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().sum() > 0
    }
    assert with_gradient == learnt
    assert all((p.grad is not None) == p.requires_grad for p in backbone.parameters())


def test_a_step_moves_what_is_learnt_and_nothing_else() -> None:
    backbone = lively(Backbone("mobilenet_v2", fine_tune_from="features.17", weights="none"))
    backbone.train_batch_norm = False
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    groups = backbone.parameter_groups(0.1, weight_decay=0.01)
    assert {group["lr"] for group in groups} == {0.1}
    assert all(p.ndim > 1 for group in groups if group["weight_decay"] for p in group["params"])
    optimizer = torch.optim.SGD(groups)
    assert backbone.train()(pictures()).square().mean().backward() is None
    optimizer.step()
    moved = {n for n, now in backbone.state_dict().items() if not torch.equal(before[n], now)}
    learnt = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert moved == learnt
    assert {name.split(".")[2] for name in learnt} == {"17", "18"}


def test_batch_norm_of_frozen_stages_never_adapts() -> None:
    backbone = Backbone("resnet18", fine_tune_from=1, train_batch_norm=True).train()
    backbone(pictures())
    changed = {
        name.split(".")[1]
        for name, buffer in backbone.named_buffers()
        if name.endswith("running_mean") and buffer.abs().sum() > 0
    }
    assert changed == {"layer4"}


def test_batch_norm_adapts_by_default_only_without_pretrained_weights(tmp_path: Path) -> None:
    scratch = Backbone("shufflenet_v2_x0_5", fine_tune_from=5)
    torch.save(scratch.network.state_dict(), tmp_path / "weights.pth")
    tuned = Backbone("shufflenet_v2_x0_5", fine_tune_from=5, weights=tmp_path / "weights.pth")
    assert all(norm.training for norm in batch_norms(scratch))
    assert not any(norm.training for norm in batch_norms(tuned))
    assert all(p.requires_grad for p in tuned.parameters())


def test_a_frozen_network_still_gives_the_gradient_of_the_pixels(resnet: Backbone) -> None:
    images = pictures().requires_grad_()
    resnet(images).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


@pytest.mark.parametrize("start", ["layer9", 7, -1, ""])
def test_a_stage_that_does_not_exist_is_refused(start: int | str) -> None:
    with pytest.raises(UserError, match="conv1, bn1, layer1, layer2, layer3, layer4"):
        Backbone("resnet18", fine_tune_from=start)


# ---- weights from a file


def small() -> nn.Module:
    return torchvision.models.squeezenet1_1(num_classes=7)


def wrapped(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("variant", ["plain", "headless", "parallel", "nested", "safetensors"])
def test_weights_are_read_however_they_were_saved(tmp_path: Path, variant: str) -> None:
    network = small()
    state = network.state_dict()
    path = tmp_path / ("w.safetensors" if variant == "safetensors" else "w.pth")
    if variant == "safetensors":
        save_file(state, path)
    elif variant == "headless":
        torch.save(network.features.state_dict(prefix="features."), path)
    elif variant == "parallel":
        torch.save(wrapped(state, "module."), path)
    elif variant == "nested":
        torch.save({"epoch": 3, "state_dict": wrapped(state, "_orig_mod.module.")}, path)
    else:
        torch.save(state, path)
    backbone = Backbone("squeezenet1_1", weights=path)
    images = pictures()
    with torch.no_grad():
        expected = network.features(images).flatten(2).transpose(1, 2)
        torch.testing.assert_close(backbone(images), expected)


def test_densenet_weights_with_the_names_of_2017_are_read(tmp_path: Path) -> None:
    backbone = Backbone("densenet121")
    old = {}
    for name, tensor in backbone.network.state_dict().items():
        for part in ("norm", "conv"):
            name = name.replace(f".{part}1.", f".{part}.1.").replace(f".{part}2.", f".{part}.2.")
        if not name.endswith("num_batches_tracked"):
            old[name] = tensor
    torch.save(old, tmp_path / "densenet.pth")
    again = Backbone("densenet121", weights=str(tmp_path / "densenet.pth"))
    assert again.digest == backbone.digest


@pytest.mark.parametrize("damage", ["missing", "shape", "unknown"])
def test_weights_of_another_network_name_the_first_mismatch(tmp_path: Path, damage: str) -> None:
    state = dict(small().state_dict())
    name = "features.0.weight"
    if damage == "missing":
        del state[name]
    elif damage == "shape":
        state[name] = state[name][:5]
    else:
        name = "features.99.weight"
        state[name] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"w.pth holds the weights of another network: {name}"):
        Backbone("squeezenet1_1", weights=tmp_path / "w.pth")


class Hostile:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


@pytest.mark.parametrize("content", ["text", "empty", "truncated", "code", "list", "numbers"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_state_dict_gets_one_line(
    tmp_path: Path, content: str, suffix: str
) -> None:
    path = tmp_path / f"w{suffix}"
    if content == "text":
        path.write_text("hello")
    elif content == "empty":
        path.touch()
    elif content == "truncated":
        torch.save(small().state_dict(), path)
        path.write_bytes(path.read_bytes()[:5000])
    else:
        values = {"code": {"a": Hostile()}, "list": [1], "numbers": {"a": 1}}
        torch.save(values[content], path)
    with pytest.raises(UserError) as caught:
        Backbone("squeezenet1_1", weights=path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_a_missing_file_of_weights_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file of weights"):
        Backbone("squeezenet1_1", weights=tmp_path / "nothing.pth")


def test_imagenet_weights_without_a_network_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(
        UserError, match=r"Download https://.*squeezenet1_1.* put it at .*\.pth"
    ) as e:
        Backbone("squeezenet1_1", weights="imagenet")
    assert str(tmp_path) in str(e.value)


def test_the_digest_follows_the_weights_and_nothing_else(tmp_path: Path) -> None:
    first = Backbone("shufflenet_v2_x0_5")
    torch.save(first.network.state_dict(), tmp_path / "w.pth")
    digest = first.digest
    second = Backbone("shufflenet_v2_x0_5", weights=tmp_path / "w.pth", fine_tune_from=1)
    assert second.train().digest == digest
    for norm in batch_norms(second):
        norm.num_batches_tracked += 1
    assert second.digest == digest
    with torch.no_grad():
        second.network.conv5[0].weight[0, 0] += 1e-6
    assert second.digest != digest
    batch_norms(first)[0].running_var[0] += 1e-6
    assert first.digest != digest


def test_bf16_is_chosen_only_where_the_cpu_has_it() -> None:
    flags = Path("/proc/cpuinfo")
    if not flags.exists():
        pytest.skip("needs /proc/cpuinfo")
    words = set(flags.read_text().split())
    if not words & {"avx512_bf16", "amx_bf16"}:
        assert fast_dtype("cpu") == torch.float32
    assert fast_dtype("meta") == torch.float32


# ---- the small network


def test_small_cnn_gives_a_grid_and_learns_all_of_it() -> None:
    cnn = SmallCNN(feature_size=32)
    grid = cnn(pictures(2, 64))
    assert cnn.grid_size(64) == (8, 8) and grid.shape == (2, 64, 32)
    grid.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in cnn.parameters())
    assert cnn(pictures(1, 50)).shape == (1, 49, 32) and cnn.grid_size(50) == (7, 7)


def test_small_cnn_learns_left_from_right_in_its_pooled_vector() -> None:
    """Red left of blue, or right of it: the mean over a grid without coordinates cannot tell."""
    generator = torch.Generator().manual_seed(0)
    count, size = 128, 32
    images = torch.zeros(count, 3, size, size)
    labels = torch.randint(2, (count,), generator=generator)
    for image, label in zip(images, labels, strict=True):
        rows = torch.randint(2, size - 8, (2,), generator=generator).tolist()
        columns = sorted(torch.randperm(size - 8, generator=generator)[:2].tolist())
        if columns[1] - columns[0] < 8:
            columns = [columns[0] // 3, 22]
        for colour, column in zip((0, 2) if label else (2, 0), columns, strict=True):
            image[colour, rows[colour // 2] : rows[colour // 2] + 6, column : column + 6] = 1
    cnn, readout = SmallCNN(feature_size=32), nn.Linear(32, 2)
    optimizer = torch.optim.Adam([*cnn.parameters(), *readout.parameters()], lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(readout(cnn(images).mean(1)), labels)
        loss.backward()
        optimizer.step()
    assert (readout(cnn(images).mean(1)).argmax(1) == labels).float().mean() > 0.98


# ---- the encoder


def test_pixels_normalised_images_and_features_give_the_same_context(resnet: Backbone) -> None:
    transform = ImageTransform(SIZE)
    encoder = ImageEncoder(resnet, vector_size=8, memory_size=6, dropout=0.5).eval()
    pixels = torch.randint(256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    with torch.no_grad():
        features = resnet(transform.normalize(pixels))
        contexts = [encoder(x) for x in (pixels, transform.normalize(pixels), features)]
    for context in contexts:
        assert context.vector.shape == (2, encoder.context_size) == (2, 8)
        assert context.memory is not None and context.memory.shape == (2, 9, encoder.memory_size)
        torch.testing.assert_close(context.vector, contexts[0].vector)
        torch.testing.assert_close(context.memory, contexts[0].memory)


def test_without_projections_the_context_is_the_features() -> None:
    encoder = ImageEncoder(feature_size=5)
    features = torch.randn(2, 4, 5).half()
    context = encoder(features)
    assert torch.equal(context.memory, features.float())
    torch.testing.assert_close(context.vector, features.float().mean(1))
    assert (encoder.context_size, encoder.memory_size) == (5, 5)
    assert list(encoder.parameters()) == [] and encoder.state_dict() == {}


def test_without_attention_the_pooled_vector_is_enough() -> None:
    encoder = ImageEncoder(feature_size=5, attention=False, vector_size=3, memory_size=7)
    features = torch.randn(2, 4, 5)
    grid, pooled = encoder(features), encoder(features.mean(1))
    assert grid.memory is None and encoder.memory_size is None
    torch.testing.assert_close(grid.vector, pooled.vector)
    assert {name.split(".")[0] for name, _ in encoder.named_parameters()} == {"vector_projection"}


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_projection_is_linear_normalised_and_activated(layer_norm: bool) -> None:
    encoder = ImageEncoder(
        feature_size=5, vector_size=4, memory_size=4, activation="tanh", layer_norm=layer_norm
    )
    features = torch.randn(2, 3, 5)
    for given, got, projection in [
        (features, encoder(features).memory, encoder.memory_projection),
        (features.mean(1), encoder(features).vector, encoder.vector_projection),
    ]:
        expected = given @ projection[0].weight.T + projection[0].bias
        if layer_norm:
            centred = expected - expected.mean(-1, keepdim=True)
            variance = centred.square().mean(-1, keepdim=True)
            expected = centred / (variance + 1e-5).sqrt()
        torch.testing.assert_close(got, expected.tanh())


def test_dropout_only_while_training() -> None:
    encoder = ImageEncoder(feature_size=400, dropout=0.25)
    ones = torch.ones(2, 3, 400)
    for values in (encoder(ones).vector, encoder(ones).memory):
        assert values.unique().tolist() == pytest.approx([0, 4 / 3])
        assert (values == 0).float().mean() == pytest.approx(0.25, abs=0.08)
    assert torch.equal(encoder.eval()(ones).vector, ones[:, 0])


def test_gradients_reach_the_projections_and_not_the_frozen_network(resnet: Backbone) -> None:
    encoder = ImageEncoder(resnet, vector_size=8, memory_size=6).train()
    context = encoder(pictures())
    (context.vector.sum() + context.memory.sum()).backward()
    learnt = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert learnt == {
        f"{part}_projection.0.{kind}"
        for part in ("vector", "memory")
        for kind in ("weight", "bias")
    }


def test_an_encoder_says_what_it_cannot_take() -> None:
    encoder = ImageEncoder(feature_size=5)
    with pytest.raises(ValueError, match="no cnn"):
        encoder(pictures())
    with pytest.raises(ValueError, match="attention"):
        encoder(torch.randn(2, 5))
    with pytest.raises(ValueError, match="not \\(2, 4, 6\\)"):
        encoder(torch.randn(2, 4, 6))
    with pytest.raises(ValueError, match="need a size"):
        ImageEncoder()
    with pytest.raises(ValueError, match="has 16 features, not 5"):
        ImageEncoder(SmallCNN(feature_size=16), feature_size=5)


# ---- on real photographs


def test_the_measured_weights_know_a_dog(shared: Path) -> None:
    """A third of Flickr8k is dogs; ImageNet has 118 kinds of them (classes 151 to 268)."""
    folder, weights = shared / "flickr8k", shared / "weights" / "mobilenet_v2.pth"
    mentions: dict[str, int] = {}
    with open(folder / "Flickr8k.token.txt", encoding="utf-8") as file:
        for name, caption in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            image = name.split("#")[0]
            mentions[image] = mentions.get(image, 0) + ("dog" in caption.lower().split())
    there = [image for image in sorted(mentions) if (folder / "images" / image).exists()]
    dogs = [image for image in there if mentions[image] == 5][:20]
    others = [image for image in there if mentions[image] == 0][:20]
    backbone = Backbone("mobilenet_v2", weights=weights)
    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(torch.load(weights, weights_only=True))
    images = ImageTransform()([folder / "images" / name for name in dogs + others])
    with torch.no_grad():
        labels = network.eval().classifier(backbone.inference_copy()(images).mean(1)).argmax(1)
    is_dog = ((labels >= 151) & (labels <= 268)).float()
    assert is_dog[:20].mean() >= 0.7 and is_dog[20:].mean() <= 0.1
