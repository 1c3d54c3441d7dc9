"""The context that the encoder makes of images, and of features computed before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from captioning.backbone import Backbone
from captioning.encoder import ImageEncoder
from captioning.model import build_model
from captioning.options import EncoderOptions, TrainOptions
from captioning.small_cnn import SmallCNN
from captioning.transform import ImageTransform
from common.text.vocabulary import Vocabulary
from tests.captioning.networks import SIZE, pictures
from tests.tolerances import assert_same_sums


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
        # A ResNet of 18 layers with up to 9 x 512 inputs, and the projection of 512.
        terms = 18 * 9 * 512 + 512
        assert_same_sums(context.vector, contexts[0].vector, terms=terms)
        assert_same_sums(context.memory, contexts[0].memory, terms=terms)


def test_without_projections_the_context_is_the_features() -> None:
    encoder = ImageEncoder(feature_size=5)
    features = torch.randn(2, 4, 5).half()
    context = encoder(features)
    assert torch.equal(context.memory, features.float())
    assert_same_sums(context.vector, features.float().mean(1), terms=4)
    assert (encoder.context_size, encoder.memory_size) == (5, 5)
    assert list(encoder.parameters()) == [] and encoder.state_dict() == {}


def test_without_attention_the_pooled_vector_is_enough() -> None:
    encoder = ImageEncoder(feature_size=5, attention=False, vector_size=3, memory_size=7).double()
    features = torch.randn(2, 4, 5, dtype=torch.double)
    grid, pooled = encoder(features), encoder(features.mean(1))
    assert grid.memory is None and encoder.memory_size is None
    torch.testing.assert_close(grid.vector, pooled.vector)
    assert {name.split(".")[0] for name, _ in encoder.named_parameters()} == {"vector_projection"}


def test_padded_regions_reach_nothing() -> None:
    """Each image alone equals it in a batch, whatever stands at padding."""
    torch.manual_seed(0)
    encoder = ImageEncoder(feature_size=5, vector_size=4, memory_size=3, normalize=True).double()
    lengths, garbage = (3, 1, 4), torch.tensor([torch.nan, 7.0, torch.inf])
    features = torch.randn(3, 4, 5, dtype=torch.double)
    mask = torch.arange(4) < torch.tensor(lengths).unsqueeze(1)
    padded = features.clone()
    padded[~mask] = garbage[torch.arange(int((~mask).sum())) % 3].double().unsqueeze(1)
    padded.requires_grad_()
    together = encoder(padded, mask)
    assert torch.equal(together.mask, mask)
    for row, length in enumerate(lengths):
        alone = encoder(features[row : row + 1, :length])
        torch.testing.assert_close(together.vector[row], alone.vector[0])
        torch.testing.assert_close(together.memory[row, :length], alone.memory[0])
    assert together.memory.isfinite().all()
    assert torch.equal(encoder(padded, mask).vector, together.vector)
    pooled = ImageEncoder(feature_size=5, attention=False).double()(padded, mask)
    assert pooled.mask is None and pooled.vector.isfinite().all()


def test_a_projection_is_linear_and_activated() -> None:
    sizes = {"feature_size": 5, "vector_size": 4, "memory_size": 4}
    encoder = ImageEncoder(**sizes).double()
    features = torch.randn(2, 3, 5, dtype=torch.double)
    for given, got, projection in [
        (features, encoder(features).memory, encoder.memory_projection),
        (features.mean(1), encoder(features).vector, encoder.vector_projection),
    ]:
        expected = given @ projection[0].weight.T + projection[0].bias
        torch.testing.assert_close(got, expected.relu())


def test_dropout_only_while_training() -> None:
    encoder = ImageEncoder(feature_size=400, dropout=0.25)
    ones = torch.ones(2, 3, 400)
    for values in (encoder(ones).vector, encoder(ones).memory):
        assert values.unique().tolist() == pytest.approx([0, 4 / 3], rel=2e-4)  # as `Dropout`
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


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_a_resumed_run_adapts_batch_norm_as_it_did_at_its_begin(weights: str) -> None:
    """Its own weights are loaded in the place of those that it began with."""
    encoder = EncoderOptions(encoder="resnet18", weights=weights, fine_tune_from="1")
    options = TrainOptions(data="data", run_dir=Path("run"), encoder=encoder)
    resumed = build_model(options, Vocabulary.build([["a"]]), weights="none")
    assert resumed.train().encoder.cnn.network.layer4[0].bn1.training == (weights == "none")


def test_the_network_normalises_pixels_by_the_transform_of_the_run(monkeypatch) -> None:
    odd = ImageTransform(SIZE, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    monkeypatch.setattr("captioning.model.make_transform", lambda options: odd)
    options = TrainOptions(
        data="data", run_dir=Path("run"), encoder=EncoderOptions(encoder="small")
    )
    model = build_model(options, Vocabulary.build([["a"]]), weights="none")
    pixels = torch.randint(256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    seen = []
    model.encoder.cnn.register_forward_pre_hook(lambda module, inputs: seen.append(*inputs))
    model.encode(pixels)
    assert_same_sums(seen[0], odd.normalize(pixels), terms=3)
