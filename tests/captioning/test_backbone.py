"""Backbones against torchvision itself, in float64; what is frozen stays so."""

from __future__ import annotations

import copy
import csv
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from captioning.backbone import Backbone
from captioning.networks import backbone_names
from captioning.transform import ImageTransform
from common.errors import UserError
from common.training.options import TrainingOptions
from tests.captioning.networks import SIZE, lively, pictures

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


@pytest.fixture(params=FAMILIES, scope="module")
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Not to be changed by a test."""
    return lively(Backbone(request.param)).double()


def torchvision_pooled(backbone: Backbone, images: Tensor) -> Tensor:
    """The vector (B, C) that torchvision's own network, with the same weights, classifies by."""
    options = {"aux_logits": False, "init_weights": False} if backbone.name == "googlenet" else {}
    network = torchvision.models.get_model(backbone.name, weights=None, **options).eval()
    if options:
        network.transform_input = True  # as torchvision sets it with its own weights
    network.double()
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


def test_the_mean_of_the_grid_is_what_torchvision_classifies_by(backbone: Backbone) -> None:
    images = pictures().double()
    with torch.no_grad():
        grid = backbone(images)
    rows, columns = backbone.grid_size(SIZE)
    assert grid.shape == (2, rows * columns, backbone.feature_size)
    expected = torchvision_pooled(backbone, images)
    torch.testing.assert_close(grid.mean(1), expected)


def test_the_inference_copy_computes_the_same_with_fewer_norms(backbone: Backbone) -> None:
    quick = backbone.inference_copy()
    images = pictures().double()
    with torch.no_grad():
        expected, grid = backbone(images), quick(images)
    torch.testing.assert_close(grid, expected)
    assert quick.frozen and not quick.training
    left = sum(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    # Those of a DenseNet that come before a convolution cannot be folded into it.
    assert left == (62 if backbone.name == "densenet121" else 0)


def test_the_inference_copy_leaves_the_original_alone(resnet: Backbone) -> None:
    digest = resnet.digest
    quick = resnet.inference_copy()
    with torch.no_grad():
        quick.network.conv1.weight.zero_()
    assert resnet.digest == digest and quick.digest != digest


def test_an_image_has_the_same_grid_alone_and_in_a_batch(resnet: Backbone) -> None:
    images = pictures(3).double()
    backbone = copy.deepcopy(resnet).double()
    with torch.no_grad():
        alone = torch.cat([backbone(image[None]) for image in images])
        torch.testing.assert_close(alone, backbone(images))


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
    assert copy.deepcopy(resnet).double().grid_size(224) == resnet.grid_size(224) == (7, 7)
    with pytest.raises(UserError, match="squeezenet1_1 cannot take images of 8 x 8 pixels"):
        Backbone("squeezenet1_1").grid_size(8)


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
    options = TrainingOptions(weight_decay=0.01, device="cpu")
    optimizer = options.make_optimizer(backbone, list(backbone.parameters()), slower_rate=0.1)
    groups = optimizer.param_groups
    assert {group["lr"] for group in groups} == {0.1}
    assert all((p.ndim > 1) == (g["weight_decay"] > 0) for g in groups for p in g["params"])
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
