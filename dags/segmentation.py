"""# Segmentation

Turns an electron-microscope volume into segmented neurons, in Airflow.

| stage | does | needs |
|---|---|---|
| prepare | checks parameters and input, writes the plan | manager |
| affinities | predicts affinities from the image, patch by patch | gpu (or cpu) |
| watershed | cuts affinities into supervoxels, chunk by chunk, then joins over chunk faces | cpu, memory |
| agglomeration | joins supervoxels by the mean affinity of their contact | cpu, memory |
| labels | writes supervoxels and segments as volumes | cpu |
| pyramid | makes the coarser scales of every layer | cpu |
| evaluation | scores the segmentation against ground truth, where there is one | cpu |
| report | writes `report.html` | manager |

Give `output`, and one of `image` and `affinities`; everything else has a default.
Each stage is a row of tiers, and each tier holds as many tasks as the volume needs: tiers it does not need are skipped.
Starting a run again with the same parameters goes on where the last one ended.
"""

from seuron.orchestration import segmentation_dag

segmentation = segmentation_dag(doc_md=__doc__)
